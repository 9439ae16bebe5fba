"""What is found by its place is held to what the rest of the study makes of it."""

from types import SimpleNamespace

import pytest

from activation_study.core import registry


class Thing:
    def __init__(self, name):
        self.name = name


@pytest.fixture
def declare(monkeypatch):
    def declare(*files):
        found = tuple(SimpleNamespace(__name__=f"file{i}", **content) for i, content in enumerate(files))
        monkeypatch.setattr(registry, "modules", lambda package: found)
        return registry.declared("any", Thing)

    return declare


def test_things_of_the_kind_are_found_by_name(declare):
    one, other = Thing("one"), Thing("other_2")
    assert declare({"DECLARED": (one, 5)}, {"DECLARED": (other,)}) == {"one": one, "other_2": other}


@pytest.mark.parametrize("name", ["x,depth=9", "X", "", "9", "a" * 41, "a b", "a/b"])
def test_a_name_that_would_break_an_id_or_a_column_is_refused(declare, name):
    with pytest.raises(ValueError, match="file0"):
        declare({"DECLARED": (Thing(name),)})


def test_a_name_that_is_taken_and_a_file_that_declares_nothing(declare):
    with pytest.raises(ValueError, match="file1: the name 'a' is taken"):
        declare({"DECLARED": (Thing("a"),)}, {"DECLARED": (Thing("a"),)})
    with pytest.raises(ValueError, match="file0: lists nothing"):
        declare({})
