"""How far to trust the study, by its checks on itself: first what it misses, then what it keeps and what is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from activation_study.analysis.inference import ALPHA, wilson
from activation_study.claims.validity import FOUND, PLANTED, SAME
from activation_study.core.numbers import percent
from activation_study.report.words import counted

WIDE = "intervals are wider than they need be"


class Check(NamedTuple):
    """Whether the study passes one of its checks, None where it cannot be known, and the sentence that says so."""

    passes: bool | None
    text: str


def trust(validity: Mapping[str, Any]) -> Markup:
    """The first screen's paragraph, with links to the sections on its checks.

    Args:
        validity: as `claims.validity.validity` gives it.
    """
    checks = [_alarms(validity), _power(validity), _again(validity)]
    missed, kept, unknown = (
        [Markup("{}").format(check.text) for check in checks if check.passes is passes]
        for passes in (False, True, None)
    )
    parts = [Markup("<strong>How far to trust it.</strong>")]
    if missed:
        parts.append(Markup("<strong>It misses what it asks of itself.</strong> {}").format(Markup(" ").join(missed)))
    parts += kept
    if unknown:
        parts.append(Markup("Not known: {}.").format(Markup("; ").join(unknown)))
    return Markup(" ").join(parts)


def rests_on(validity: Mapping[str, Any]) -> str:
    """What single seeds and networks that diverged do to it, for further down the page."""
    diverged, networks = validity["diverged"], validity["networks"]
    said = f"Of {networks:,} networks that were scored {diverged:,} diverged; they count as guessing."
    undone = validity["rows_undone_by_one_seed"]
    if undone is None:
        return said
    more = f": {counted(undone, 'row')} that would be {'is' if undone == 1 else 'are'} called open" if undone else ""
    return f"No verdict is undone by leaving out one seed{more}. {said}"


def _alarms(validity: Mapping[str, Any]) -> Check:
    alarms, tests = validity["aa_alarms"], validity["aa_tests"]
    if not tests:
        return Check(None, "how often it cries wolf, as no function was trained under two names")
    said = Markup('A function <a href="#validity">compared with itself</a> raised an alarm in {} of {} tests{}')
    rate = wilson(alarms, tests)
    if rate.low <= ALPHA <= rate.high:
        due = f", no more than chance explains where {percent(ALPHA, 0)} should."
        return Check(True, said.format(alarms, tests, due))
    due = f", where {ALPHA * tests:z.0f} are due{'.' if rate.low > ALPHA else ': ' + WIDE + '.'}"
    return Check(False, said.format(alarms, tests, due))


def _power(validity: Mapping[str, Any]) -> Check:
    power = validity["power_at_1_5_smallest"]
    if power is None:
        return Check(None, "how often it would find an effect that is there")
    accuracy, time = validity["power_of_accuracy"], validity["power_of_time"]
    said = f"Simulated studies find an effect {PLANTED:g} times the smallest that matters in "
    if accuracy is None or time is None:
        said += f"{percent(power, 0)} of cases"
    else:
        said += f"{percent(accuracy, 0)} of cases in accuracy and {percent(time, 0)} in steps to the target"
    return Check(True, f"{said}.") if power >= FOUND else Check(False, f"{said}; {percent(FOUND, 0)} was the aim.")


def _again(validity: Mapping[str, Any]) -> Check:
    share, turned = validity["verdicts_same_share"], validity["verdicts_reversed"]
    if share is None:
        return Check(None, "how many verdicts other seeds would change, as there is no second study to compare with")
    reversed_ = f"{counted(turned, 'row') if turned else 'none'} {'is' if turned in (0, 1) else 'are'} reversed"
    passes = share >= SAME and not turned
    said = Markup(
        'With <a href="#second-study">other seeds</a> {} of the tested rows keep their verdict, and {}{}'
    ).format(
        percent(share, 0),
        reversed_,
        "." if passes else f"; {percent(SAME, 0)} and none was the aim.",
    )
    return Check(passes, said)
