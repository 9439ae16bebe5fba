"""A section is a file that is found by lying among the others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from activation_study.core import registry
from activation_study.report import page, sections
from synthetic import PROVENANCE

OWN = """from activation_study.report.blocks import Paragraph, Section

NAME, PART, PLACE = "Mine", {part!r}, {place}


def section(data):
    return Section("own", "A section of one's own", [Paragraph(data.name)])
"""


def _add(folder: Path, monkeypatch: pytest.MonkeyPatch, part: str, place: int, name: str = "own_section") -> None:
    (folder / f"{name}.py").write_text(OWN.format(part=part, place=place))
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(folder)])
    monkeypatch.setattr(sections, "modules", registry.modules.__wrapped__)  # which remembers no earlier answer
    monkeypatch.delitem(sys.modules, f"{sections.__name__}.{name}", raising=False)


def test_the_page_has_every_file_of_the_folder_in_the_order_of_parts_and_places():
    found = sections.discover()
    files = {file.stem for file in Path(sections.__file__).parent.glob("*.py")} - {"__init__"}
    assert {module.__name__.rpartition(".")[2] for module in found} == files
    assert [page.FIRST, *page.SECTIONS] == found
    places = [(sections.PARTS.index(module.PART), module.PLACE) for module in found]
    assert places == sorted(set(places))


@pytest.mark.slow
def test_a_new_file_is_a_section_of_the_page(tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch):
    _add(tmp_path, monkeypatch, "Single questions", 15)
    found = sections.discover()
    names = [module.NAME for module in found]
    assert names[names.index("Noise") :][:3] == ["Noise", "Mine", "Training samples"]
    monkeypatch.setattr(page, "SECTIONS", [module for module in found if module.NAME in ("Mine", "Provenance")])
    page.build("small", tables, tmp_path / "small.html", PROVENANCE)
    html = (tmp_path / "small.html").read_text()
    assert '<a href="#own">Mine</a>' in html
    assert '<section id="own"' in html


@pytest.mark.parametrize(
    ("part", "place", "fault"),
    [("Else", 10, "PART is 'Else', which is none of"), ("Why", 10, "gradients and .*own_section: the same PLACE in")],
)
def test_an_unknown_part_or_a_place_that_is_taken_is_refused(
    part: str, place: int, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _add(tmp_path, monkeypatch, part, place)
    with pytest.raises(ValueError, match=fault):
        sections.discover()
