"""What torchvision unpacks: neither links nor overlong names, by which versions of Python were led outside."""

import contextlib
import tarfile
from collections.abc import Iterator

import pytest

from activation_study.data import vision


def escaping() -> Iterator[tarfile.TarInfo]:
    """CVE-2025-4517: links through folders so long that realpath gives up, then a file behind them."""

    def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info

    step, folder = "", "d" * 247
    for letter in "abcdefghijklmnop":
        yield member(step + folder, tarfile.DIRTYPE)
        yield member(step + letter, tarfile.SYMTYPE, folder)
        step += f"{folder}/"
    link = f"{'/'.join('abcdefghijklmnop')}/{'l' * 254}"
    yield member(link, tarfile.SYMTYPE, "../" * 16)
    yield member("escape", tarfile.SYMTYPE, f"{link}/../outside")
    yield member("escape/PWNED", tarfile.REGTYPE)


def test_links_past_the_longest_path_lead_nowhere(tmp_path):
    (tmp_path / "outside").mkdir()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for info in escaping():
            archive.addfile(info)
    with (
        vision.guarded(),
        tarfile.open(tmp_path / "a.tar") as archive,
        pytest.raises(tarfile.FilterError, match="a link, a, which is refused"),
    ):
        archive.extractall(tmp_path / "inside")
    assert not any((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_even_links_that_stay_inside_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("file"))
        link = tarfile.TarInfo("one\nmore")
        link.type, link.linkname = kind, "file"
        archive.addfile(link)
    with (
        vision.guarded(),
        tarfile.open(tmp_path / "a.tar") as archive,
        pytest.raises(tarfile.FilterError, match="holds a link") as error,
    ):
        archive.extractall(tmp_path / "inside")
    assert str(error.value).isprintable()
    assert [path.name for path in (tmp_path / "inside").iterdir()] == ["file"]


def test_names_near_the_longest_path_are_refused(tmp_path):
    for length, fine in ((1000, True), (1001, False)):
        name = ("d" * 199 + "/") * 5 + "e"
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo(name[1001 - length :]))
        refused = contextlib.nullcontext() if fine else pytest.raises(tarfile.FilterError, match="1001 characters")
        with vision.guarded(), tarfile.open(tmp_path / "a.tar") as archive, refused:
            archive.extractall(tmp_path / "inside")
