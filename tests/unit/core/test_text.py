"""No value can forge a line, hide text, fill the screen, or make the message itself fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activation_study.core.text import MOST, one_line, plain, shown

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text() | st.integers(), inside),
)


class Failing:
    def __repr__(self):
        raise RuntimeError("no text")

    __str__ = __repr__


@pytest.mark.slow
@given(VALUES)
def test_every_value_is_shown_in_one_short_line_that_prints(value):
    for text in (shown(value), plain(value)):
        assert text.isprintable()
    assert len(shown(value)) <= MOST


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("relu", "'relu'"),
        (0.5, "0.5"),
        ("a\n[9.9 s] done", r"'a\n[9.9 s] done'"),
        ("\x1b[2J", r"'\x1b[2J'"),
        ("\x9b2J", r"'\x9b2J'"),
        ("a\u202eb", r"'a\u202eb'"),
        ("\udcff", r"'\udcff'"),
        ([1, "two"], "[1, 'two']"),
        (Failing(), "<Failing instance at"),
    ],
)
def test_what_it_says(value, text):
    assert shown(value).startswith(text)


def test_an_integer_too_long_for_python_to_print():
    assert shown(10**4301) == "an integer of 14288 bits"


def test_long_values_are_cut_and_say_so():
    assert shown("x" * 2_100_000) == "'" + "x" * (MOST - 2) + "…"
    assert plain("y" * 500, 10) == "y" * 9 + "…"


def test_errors():
    assert one_line(ValueError("two\nlines\x1b[1m")) == r"two lines\x1b[1m"
    assert one_line(KeyError()) == "KeyError"
    assert one_line(ValueError(Failing())) == "a ValueError"
