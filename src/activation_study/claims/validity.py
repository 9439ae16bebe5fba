"""What the study says of itself: false alarms, power, and how far its verdicts would come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from activation_study.analysis.controls import Twins, control_twins, false_alarms
from activation_study.analysis.inference import MIN_CELLS
from activation_study.analysis.tuned import moments, without_each
from activation_study.claims.contrasts import Contrast
from activation_study.claims.outcomes import Outcome
from activation_study.claims.rows import STATISTICAL
from activation_study.claims.rules import ORDER, Effect, PValues, holding, p_values
from activation_study.claims.verdicts import ONE_SEED
from activation_study.core.tuning import Replicates

PLANTED = 1.5
"""The planted effect, in smallest effects of interest."""
FOUND = 0.95
"""The least power for it that the study aims at."""
SAME = 0.90
"""The least share of the tested verdicts that it wants to see again with other seeds, and none reversed."""
DRAWS = 200
SMALLEST = {"accuracy": ("test_accuracy", 0.01), "time": ("log_time", 0.0953)}
"""Metrics with the smallest effects that most claims name: one point, a tenth more steps."""


def validity(tables: Mapping[str, pd.DataFrame], second: pd.DataFrame | None = None) -> dict[str, Any]:
    """The study's checks on itself, as `tables/validity.json` holds them.

    `aa_alarms` of `aa_tests` comparisons of a function with itself, and the power to find a planted effect in accuracy,
    `power_of_accuracy`, in steps to the target, `power_of_time`, and the lower of both, `power_at_1_5_smallest` (None
    without controls); `verdicts_same_share` of the tested rows that come out as in the second study,
    `verdicts_reversed` between true and false (None without one), and `verdicts_second`, what the second study makes of
    each, by file and row; `rows_undone_by_one_seed`, which are open for that
    reason alone (None without verdicts); `diverged` of `networks` that were evaluated.

    Args:
        tables: runs, portraits, ledger and ledger_cells of the study.
        second: the ledger of the same study with other seeds.
    """
    runs, ledger = tables["runs"], tables["ledger"]
    twins = control_twins(runs, tables["portraits"])
    alarms = false_alarms(twins)
    family = family_size(ledger, tables["ledger_cells"])
    powers = {
        f"power_of_{name}": planted_power([pair for pair in twins if pair.metric == metric], delta, family)
        for name, (metric, delta) in SMALLEST.items()
    }
    known = [power for power in powers.values() if not np.isnan(power)]
    networks = runs[(runs["role"] == "evaluation") & ~runs["status"].isin(["no_data", "pruned"])]
    return {
        "aa_alarms": int(alarms["alarms"].sum()) if len(alarms) else None,
        "aa_tests": int(alarms["comparisons"].sum()) if len(alarms) else None,
        "power_at_1_5_smallest": min(known) if known else None,
        **{name: None if np.isnan(power) else power for name, power in powers.items()},
        **repeated(ledger, second),
        "rows_undone_by_one_seed": int(ledger["reason"].str.startswith(ONE_SEED).sum()) if len(ledger) else None,
        "diverged": int((networks["status"] == "diverged").sum()),
        "networks": len(networks),
    }


def repeated(ledger: pd.DataFrame, second: pd.DataFrame | None) -> dict[str, Any]:
    """How the tested rows of both studies compare."""
    keys = ["family", "row", "verdict"]
    both = ledger.iloc[:0] if second is None else tested(ledger)[keys].merge(tested(second)[keys], on=keys[:2])
    if second is None or both.empty:
        return {"verdicts_same_share": None, "verdicts_reversed": None, "verdicts_second": {}}
    pairs = both[["verdict_x", "verdict_y"]].agg(frozenset, axis=1)
    opposite = frozenset((Outcome.TRUE, Outcome.FALSE))
    return {
        "verdicts_same_share": float((both["verdict_x"] == both["verdict_y"]).mean()),
        "verdicts_reversed": int((pairs == opposite).sum()),
        "verdicts_second": dict(zip(both["family"] + " " + both["row"], both["verdict_y"], strict=True)),
    }


def tested(ledger: pd.DataFrame) -> pd.DataFrame:
    """The rows that a test has judged; of a policy, which has none, it may be open too whether it is costly."""
    return ledger[ledger["verdict"].isin(ORDER) & ledger["type"].isin(STATISTICAL)]


def family_size(ledger: pd.DataFrame, cells: pd.DataFrame) -> int:
    """Tests of Δ ≤ 0 in the largest family: of each judged row, and of its depths and datasets where it has several."""
    judged = ledger.loc[ledger["p_superior"].notna(), ["family", "row"]]
    parts = cells.assign(
        dataset=cells["dataset"].where(cells["dataset"] != "", cells["cell"]),
        depth=cells["cell"].str.extract(r"/depth=(\d+)", expand=False).fillna(""),
    )
    levels = parts.groupby(["family", "row"])[["dataset", "depth"]].nunique()
    more = levels.where(levels > 1, 0).sum(axis=1).rename("more").reset_index()
    counts = judged.merge(more, on=["family", "row"], how="left")["more"].fillna(0) + 1
    return int(counts.groupby(judged["family"].to_numpy()).sum().max()) if len(judged) else 0


def planted_power(twins: Sequence[Twins], smallest: float, family: int, cells: int = MIN_CELLS) -> float:
    """How often an effect of ``PLANTED`` × ``smallest``, added to the twins' noise, is found true by the rules.

    The twins are those `as_judged`. A drawn study has as many `cells` as blocks of one pair, all different; every test
    is at the strictest level of Holm's correction for `family` of them, and no seed may undo it. NaN without blocks or
    a family.
    """
    rng = np.random.default_rng(0)
    pools = [pair.blocks for pair in twins if pair.as_judged and len(pair.blocks) >= cells]
    if not pools or not family:
        return float("nan")
    found = []
    for draw in range(DRAWS):
        pool = pools[draw % len(pools)]
        chosen = [pool[place] for place in rng.permutation(len(pool))[:cells]]
        found.append(_found(chosen, smallest, family))
    return float(np.mean(found))


def _found(blocks: Sequence[Replicates], smallest: float, family: int) -> bool:
    more = PLANTED * smallest
    shifted = [Replicates(block.evaluation + more, block.left_out + more) for block in blocks]
    names = tuple(f"block {place}" for place in range(len(shifted)))
    made = Contrast(
        cells=names,
        datasets=names,
        depths=("",) * len(names),
        counts=tuple(int((~np.isnan(block.evaluation)).sum()) for block in shifted),
        informative=np.ones(len(names), dtype=bool),
        moments=moments(shifted),
        at_one_rate=np.full(len(names), np.nan),
    )
    effect = Effect(made, smallest)
    for studies in (made.moments.several(), without_each(shifted)):
        adjusted = PValues(*(np.minimum(p * family, 1) for p in p_values(effect, studies)))
        if (holding(effect, studies, adjusted).codes != ORDER.index(Outcome.TRUE)).any():
            return False
    return True
