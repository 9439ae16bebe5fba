"""Names that Snakemake or a disk would take for another, and spellings whose meaning is plain."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.io import PeriodicityDetector

import small
from activation_study.claims import file as claims_file
from activation_study.core.errors import StudyError
from activation_study.study.config import family, repeats
from activation_study.study.study import MAX_NETWORKS, MAX_RUNS, Study
from refusal import refused

DETECTOR = PeriodicityDetector()
PIECES = st.builds(lambda piece, times, head: head + piece * times, st.text("ab_", max_size=4), st.integers(15, 25),
                   st.text("ab_-0", max_size=9))  # fmt: skip


@pytest.mark.slow
@given(st.text("ab", max_size=64) | PIECES | st.builds("".join, st.lists(PIECES, max_size=3)))
def test_what_repeats_is_what_snakemake_takes_for_a_loop(text):
    assert repeats(text) == (DETECTOR.is_periodic(text) is not None)


RELU, BLOBS = small.CONFIG["activations"]["relu"], small.CONFIG["datasets"]["blobs"]
CORE = small.CONFIG["experiments"]["core"]
NAMES = {
    "a study that repeats": ({"study": "a" * 20}, ["study: 'aaaa", "twenty times"]),
    "an activation that repeats": ({"activations": {"a" * 20: RELU}}, ["activations: 'aaaa", "twenty times"]),
    "one that ends so": ({"activations": {"x" + "_b" * 20: RELU}}, ["activations: 'x_b_b", "twenty times"]),
    "a dataset that repeats": ({"datasets": {"d" + "1" * 20: BLOBS}}, ["datasets: 'd111", "twenty times"]),
    "two activations": ({"activations": {"ReLU": RELU}}, ["activations: 'relu' and 'ReLU' differ in case only"]),
    "two datasets": ({"datasets": {"Blobs": BLOBS}}, ["datasets: 'blobs' and 'Blobs' differ in case only"]),
    "two experiments": ({"experiments": {"Core": CORE}}, ["experiments: 'core' and 'Core' differ in case only"]),
    "claims that are a tag": (
        {"claims": ['claims/a"><img src=x onerror=alert(1)>.yaml']},
        ["claims: ", "<img", "letters, digits, '_' and '-' only"],
    ),
    "claims with a wildcard": ({"claims": ["{dataset}/mine.yaml"]}, ["claims: '{dataset}/mine.yaml'", "braces"]),
    "claims with a line break": ({"claims": ["a\nb/mine.yaml"]}, [r"claims: 'a\nb/mine.yaml'"]),
    "claims of one name": ({"claims": ["a/mine.yaml", "b/mine.yaml"]}, ["claims: two files are called 'mine'"]),
    "claims that differ in case": ({"claims": ["a/mine.yaml", "b/Mine.yaml"]}, ["claims: 'mine' and 'Mine' differ"]),
    "many claims": ({"claims": [f"c{i}.yaml" for i in range(21)]}, ["claims: ", "at most 20 items"]),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_that_would_be_taken_for_another_is_refused(kind, tmp_path):
    changes, held = NAMES[kind]
    config = small.config(**changes)
    config["experiments"]["core"]["dataset"] = "blobs"
    refused(lambda: Study.from_config(config), held, tmp_path)


def test_names_that_are_only_nearly_so_are_not(tmp_path):
    experiments = {"core": CORE | {"activation": "a" * 19, "width": 16}}
    study = Study.from_config(small.config(activations={"a" * 19: RELU, "b" * 20 + "c": RELU}, experiments=experiments))
    assert len(study.runs) == 1
    assert family("/some where/else/my-own_claims2.yaml") == "my-own_claims2"


LONG = {"seed_stream": "s" + "ab" * 31, "initialisation": "edge_of_chaos", "input_transform": "gaussianised"} | {
    "input_shift": -0.12345678901234567, "initial_bias": 0.12345678901234567, "train_size": 123456, "select": "speed",
    "evaluation_seeds": 12, "tuning_seeds": 12, "centred": True,
}  # fmt: skip


def test_factors_become_no_folder_so_any_may_stand_together():
    """Long ones, some that a disk would take for each other, and one that Snakemake would for a loop of rules."""
    streams = {"seed_stream": ["a", "A", "a" * 20]}
    study = Study.from_config(small.config(experiments={"core": CORE | streams, "more": CORE | LONG}))
    assert len(study.runs) == 4
    names = {job.id.lower() for job in study.jobs.values()}
    assert len(names) == len(study.jobs)
    assert all(len(part) < 200 for name in names for part in name.split("/"))


def test_claims_are_refused_by_their_name_before_they_are_read(tmp_path):
    path = tmp_path / 'a"><img src=x onerror=alert(1)>.yaml'
    path.write_text("claims: []")
    refused(lambda: claims_file.read(path), ["letters, digits, '_' and '-' only"], tmp_path)


# --- how much a study may ask for --------------------------------------------------------------------------------


def test_all_experiments_together_are_bounded_before_a_run_is_made():
    many = [*range(1, 151)]
    grids = {f"e{i}" if i else "core": CORE | {"depth": many, "width": many} for i in range(3)}
    assert 150 * 150 <= MAX_RUNS < 3 * 150 * 150
    with pytest.raises(StudyError, match=r"experiments\.core: asks for 22500 runs, all experiments together for 67500"):
        Study.from_config(small.config(experiments=grids))


def test_the_networks_of_all_runs_are_bounded():
    rates = [float(rate) for rate in range(1, 101)]
    grid = CORE | {"depth": [*range(1, 201)]}
    config = small.config(seeds={"tuning": 1000, "evaluation": 1000}, learning_rates={"momentum": rates})
    config["experiments"]["core"] = grid
    assert MAX_NETWORKS < 200 * 102_000
    with pytest.raises(StudyError, match=r"seeds: 200 runs would train 20400000 networks; the limit is 10000000"):
        Study.from_config(config)


def test_the_sub_grids_are_bounded():
    with pytest.raises(StudyError, match="experiments: have 501 sub-grids together; the limit is 500"):
        Study.from_config(small.config(experiments={"core": [{"depth": 2}] * 501}))


def test_a_list_of_many_types_is_compared_in_no_time():
    values = [*range(1, 4000), *(f"x{i}" for i in range(4000))]
    start = time.process_time()
    with pytest.raises(StudyError, match=r"width\.\d+: .* must be an integer"):
        Study.from_config(small.changed("experiments.core.width", values))
    assert time.process_time() - start < 2


def test_of_many_faults_the_first_are_named():
    with pytest.raises(StudyError) as caught:
        Study.from_config(small.changed("experiments.core.depth", [f"x{i}" for i in range(2000)]))
    *lines, last = str(caught.value).splitlines()
    assert len(lines) == 10
    assert last == "and 1990 more"


def test_of_many_names_the_first_are_listed():
    config = small.config(activations={f"a{i}": RELU for i in range(2000)})
    config["experiments"]["core"]["activation"] = "mine"
    with pytest.raises(
        StudyError, match=r"'mine' is not one of the activations: relu, tanh, .* and 1984 more"
    ) as caught:
        Study.from_config(config)
    assert len(str(caught.value)) < 400


# --- spellings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [7, 7.0, "7"])
def test_a_lone_number_of_seeds_is_that_of_evaluation_seeds(seeds):
    study = Study.from_config(small.config() | {"seeds": seeds})
    assert study.config.seeds.model_dump() == {"evaluation": 7, "tuning": 6, "stream": None}
    assert study.digest == Study.from_config(small.config() | {"seeds": {"evaluation": 7}}).digest


@pytest.mark.parametrize(
    ("seeds", "held"),
    [(0, "seeds.evaluation: 0 must be at least 1"), (True, "seeds: true"), ("x", 'seeds.evaluation: "x"')],
)
def test_what_is_no_number_of_seeds(seeds, held):
    with pytest.raises(StudyError, match=held):
        Study.from_config(small.config() | {"seeds": seeds})


@pytest.mark.parametrize("experiments", [{"depth": 5}, {"depth": [5, 20]}, {"depth": 5, "steps": 100}])
def test_an_experiment_without_a_name_is_told_where_it_belongs(experiments):
    with pytest.raises(StudyError, match=r"experiments\.depth: .* as in experiments: \{core: \{depth: \.\.\.\}\}"):
        Study.from_config(small.config() | {"experiments": experiments})


def test_an_experiment_may_be_called_as_a_factor():
    assert len(Study.from_config(small.config() | {"experiments": {"width": CORE}}).runs) == 1


def test_1e_2_is_a_number_in_the_arguments_of_an_entry_and_text_stays_text():
    config = yaml.safe_load("""
        study: 1e-2x
        activations:
          leaky: {class: LeakyReLU, negative_slope: 1e-2}
          1e5: {expression: "x + 1e-2"}
        datasets: {photos: {source: npz, path: 1e5, target: 5e-1, target_reason: 1e2}}
        experiments: {1e3: {depth: 1e0, activation: [leaky, 1e5], seed_stream: 1e5, input_shift: [1E-1, "-2e-1"]}}
        """)
    config["study"] = "s"
    study = Study.from_config(config)
    assert study.config.model_dump()["activations"] == {
        "leaky": {"class": "LeakyReLU", "negative_slope": 0.01},
        "1e5": {"expression": "x + 1e-2"},
    }
    entry = study.config.datasets["photos"]
    assert (entry.path, entry.target, entry.target_reason) == ("1e5", 0.5, "1e2")
    assert {(run.factors.seed_stream, run.factors.depth) for run in study.runs.values()} == {("1e5", 1)}
    assert {run.factors.input_shift for run in study.runs.values()} == {0.1, -0.2}


CLAIMS = """
claims:
  - id: mine
    quote: 1e3
    rows:
      - {test: 1e1, type: threshold, experiment: 1e3, metric: test_accuracy, arms: {activation: 1e5},
         where: {input_shift: 1e-1, depth: [1e0], seed_stream: 1e5}, over: {width: [1.6e1]}, threshold: 5e-1,
         smallest: 1e-2, reason: 1e0}
      - {test: t, type: difference, experiment: 1e3, metric: dead, options: {step: 1e1},
         arms: [{activation: 1e5, weight: 1e0}, {activation: relu, weight: -1e0}], smallest: 1e-2, reason: r}
"""


def test_and_in_claims(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(CLAIMS, encoding="utf-8")
    first, second = claims_file.read(path).rows
    assert (first.claim.quote, first.test, first.experiment, first.reason) == ("1e3", "1e1", "1e3", "1e0")
    assert (first.threshold, first.smallest) == (0.5, 0.01)
    assert first.where == {"input_shift": (0.1,), "depth": (1,), "seed_stream": ("1e5",)}
    assert isinstance(first.where["depth"][0], int)
    assert first.over == {"width": (16,)}
    assert [arm.factors for arm in first.arms] == [{"activation": "1e5"}]
    assert [(arm.factors["activation"], arm.weight) for arm in second.arms] == [("1e5", 1.0), ("relu", -1.0)]
    assert second.options.given == {"step": 10}
    grid = CORE | {"activation": ["1e5", "relu"], "input_shift": "1e-1", "depth": 1, "seed_stream": "1e5", "width": 16}
    config = small.config(activations={"1e5": RELU}, claims=[str(path)])
    claims_file.of_study(Study.from_config(config | {"experiments": {"1e3": grid}}).config)


def test_a_number_that_came_as_text_must_be_finite_too(tmp_path):
    for text in ("1e999", "1e18", "-1e300"):
        config = small.config(activations={"leaky": {"class": "LeakyReLU", "negative_slope": text}})
        with pytest.raises(StudyError, match=r"activations\.leaky\.negative_slope: .* finite number below 1e18"):
            Study.from_config(config)
        path = tmp_path / "mine.yaml"
        path.write_text(CLAIMS.replace("threshold: 5e-1", f"threshold: {text}"), encoding="utf-8")
        with pytest.raises(StudyError, match=r"threshold: .* finite number below 1e18"):
            claims_file.read(path)


def test_an_id_ends_where_its_text_does(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(CLAIMS.replace("id: mine", 'id: "mine\\n"'), encoding="utf-8")
    refused(lambda: claims_file.read(path), ["claim mine", "id", "must be a letter, and then letters"], tmp_path)
