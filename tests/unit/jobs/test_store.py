"""Results in an object store: which of them are copied here, and how they are called."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.settings.types import RerunTrigger
from snakemake_interface_common.logging import get_logger
from snakemake_interface_storage_plugins.io import Mtime
from snakemake_interface_storage_plugins.storage_object import StorageObjectRead
from snakemake_interface_storage_plugins.storage_provider import StorageProviderBase, StorageQueryValidationResult

import small
from activation_study.core.errors import StudyError
from activation_study.jobs.store import Store
from activation_study.study.study import Study

STUDY = Study.from_config(small.CONFIG)
PAGE, RESULT = STUDY.page, STUDY.dataset_file("blobs")


class Provider(StorageProviderBase):
    """A folder as a store; it lists what it has, or does not."""

    lists = True
    example_queries = rate_limiter_key = default_max_requests_per_second = None

    def use_rate_limiter(self):
        return False

    @classmethod
    def is_valid_query(cls, query):
        return StorageQueryValidationResult(query, query.startswith("folder://"), "must start with folder://")

    @classmethod
    def get_storage_object_cls(cls):
        return Object


class Object(StorageObjectRead):
    cleanup = get_inventory_parent = None

    @property
    def place(self):
        return Path("there", self.query.removeprefix("folder://"))

    def local_suffix(self):
        return self.query.removeprefix("folder://")

    async def inventory(self, cache):
        if self.provider.lists:
            cache.exists_in_storage["folder"] = True
            for file in self.place.parent.rglob("*"):
                key = self.cache_key(str(file.relative_to("there")))
                cache.exists_in_storage[key], cache.mtime[key] = True, Mtime(storage=file.stat().st_mtime)
                cache.size[key] = file.stat().st_size

    def exists(self):
        return self.place.exists()

    def mtime(self):
        return self.place.stat().st_mtime

    def size(self):
        return self.place.stat().st_size

    def local_footprint(self):
        return 0

    def retrieve_object(self):
        shutil.copyfile(self.place, self.local_path())
        with Path("retrieved").open("a") as log:
            log.write(f"{self.query}\n")


Provider.__abstractmethods__ = Object.__abstractmethods__ = frozenset()  # what Snakemake alone needs


@pytest.fixture(params=[True, False])
def store(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Provider, "lists", request.param)
    provider = Provider(Path("local/storage"), get_logger())
    for file in (PAGE, RESULT, "results/another/tables/runs.parquet"):
        Path("there/me", file).parent.mkdir(parents=True, exist_ok=True)
        Path("there/me", file).write_text("1")
    settings = SimpleNamespace(default_storage_prefix="folder://me/")
    return Store(
        SimpleNamespace(storage_registry=SimpleNamespace(default_storage_provider=provider), storage_settings=settings)
    )


def retrieved():
    log = Path("retrieved")
    found = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def test_what_says_what_made_it_is_copied_once(store):
    store.fetch(STUDY)
    assert sorted(retrieved()) == sorted(f"folder://me/{file}" for file in (PAGE, RESULT))
    assert Path(store.copied(RESULT)).read_text() == "1"
    store.fetch(STUDY)
    assert retrieved() == []


def test_a_copy_follows_the_store(store):
    store.fetch(STUDY)
    retrieved()
    Path("there/me", PAGE).unlink()
    for content, seconds in (("2", 1), ("33", 0), ("4", -9)):  # later, at the same time, and an older one
        time = Path(store.copied(RESULT)).stat().st_mtime + seconds
        Path("there/me", RESULT).write_text(content)
        os.utime(Path("there/me", RESULT), (time, time))
        store.fetch(STUDY)
        assert retrieved() == [f"folder://me/{RESULT}"]
        assert Path(store.copied(RESULT)).read_text() == content
    assert not Path(store.copied(PAGE)).exists()


def test_a_store_whose_list_fails_is_asked_for_each_file(store, monkeypatch):
    """As of a bucket that is not seen for a moment: nothing of it is taken to be gone."""

    async def inventory(self, cache):
        cache.exists_in_storage["folder"] = False

    monkeypatch.setattr(Object, "inventory", inventory)
    store.fetch(STUDY)
    assert len(retrieved()) == 2


def test_what_a_job_updates_is_fetched_before_it_is_kept(store):
    """Snakemake copies it where it expects it."""
    kept = []
    persistence = SimpleNamespace(backup_output=lambda path: kept.append(path.read_text()))
    settings = SimpleNamespace(rerun_triggers=frozenset(RerunTrigger.all()))
    workflow = SimpleNamespace(persistence=persistence, dag_settings=settings)
    store.hold(workflow)
    store.hold(workflow)
    for _ in range(2):  # there already, the second time
        persistence.backup_output(Path(store.known(RESULT)))
    assert kept == ["1", "1"]
    assert retrieved() == [f"folder://me/{RESULT}"]
    assert settings.rerun_triggers == RerunTrigger.all() - {RerunTrigger.CODE}


def test_logs_of_jobs_elsewhere_are_copied(store):
    log = f"{STUDY.results}/logs/tables.log"
    Path("there/me", log).parent.mkdir(parents=True)
    Path("there/me", log).write_text("error: no room")
    lost = store.known(f"{STUDY.results}/logs/lost.log")
    jobs = [SimpleNamespace(log=[store.known(log), lost], is_group=lambda: False)]
    store.fetch_logs([SimpleNamespace(jobs=jobs, is_group=lambda: True)])
    assert Path(store.known(log)).read_text() == "error: no room"
    assert not Path(lost).exists()


def test_another_kind_of_prefix_is_one_line(store):
    store._prefix = "me"
    with pytest.raises(StudyError, match=r"^--default-storage-prefix 'me': must start with folder://$"):
        store.fetch(STUDY)


def test_copies_do_not_lie_where_snakemake_has_its_own(store):
    assert store.known(RESULT) == f"local/storage/me/{RESULT}"
    assert store.copied(RESULT) != store.known(RESULT)
    assert store.query(RESULT) == f"folder://me/{RESULT}"


def test_a_run_in_a_store_has_its_own_job_if_nothing_else_is_said(store):
    assert store.settled({"study": "mine", "compare": "other"}) == {
        "study": "mine",
        "compare": None,
        "jobs": {"runs_per_job": 1},
    }
    assert store.settled({"jobs": {"runs_per_job": 8}})["jobs"] == {"runs_per_job": 8}


def test_without_a_store_all_is_where_it_is():
    none = SimpleNamespace(
        storage_registry=SimpleNamespace(default_storage_provider=None),
        storage_settings=SimpleNamespace(default_storage_prefix=None),
    )
    store = Store(none)
    assert not store
    store.fetch(STUDY)
    assert store.query(PAGE) == store.known(PAGE) == store.copied(PAGE) == PAGE
    assert store.settled({"compare": "other"}) == {"compare": "other"}
