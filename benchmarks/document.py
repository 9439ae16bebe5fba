"""The tables of docs/performance.md and statistics.md, from the files in results/bench/: no number is typed by hand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "results" / "bench"
FIGURES = ROOT / "docs" / "figures"
FILES = (ROOT / "docs" / "performance.md", ROOT / "docs" / "statistics.md")


def main() -> None:
    fill()


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def fill() -> None:
    """Put every measurement that there is between its markers in all files."""
    for source, sections in SECTIONS.items():
        path = BENCH / f"{source}.json"
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            for name, section in sections.items():
                for file in FILES:
                    replace_section(file, name, section(found))


def replace_section(file: Path, name: str, text: str) -> None:
    """Put the text between the markers, if the file has them."""
    if file.exists():
        old = file.read_text(encoding="utf-8")
        section = re.compile(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
        file.write_text(section.sub(lambda m: f"{m[1]}\n{text}\n{m[2]}", old), encoding="utf-8")


def bench(summary: Mapping[str, Any]) -> str:
    """Every target, with a line on where it was measured."""
    rows = ["| key | what | measured | spread | target | met |", "|---|---|---|---|---|---|"]
    for key, entry in summary.items():
        if not isinstance(entry, dict) or "target" not in entry:
            continue
        low, high = entry["spread"]
        value = f"{entry['value']:.3g}" + (f" (ratio {entry['ratio']:.3g})" if "ratio" in entry else "")
        sign, met = "≥" if entry["better"] == "more" else "≤", "yes" if entry["met"] else "**no**"
        rows.append(
            f"| `{key}` | {entry['what']} | {value} | {low:.3g}–{high:.3g} | {sign} {entry['target']} | {met} |"
        )
    rounds = summary["vs_fair_fanout"]["rounds"]
    text = f"torch {summary['versions']['torch']}, {summary['date'][:10]}; medians of {rounds} rounds, their extremes."
    return "\n".join([*rows, "", where(summary["machine"], text)])


def where(machine: Mapping[str, Any], text: str) -> str:
    line = f"{machine['cores']} cores of {machine['processor']} ({machine['capability']}), {text}"
    if not machine["otherwise_idle"]:
        line += (
            f" Other programs were running: the measured processes got {machine['processor_share']:.0%} of their cores."
        )
    return line


def gains(summary: Mapping[str, Any]) -> str:
    rows = ["| trainer | samples/s | over the fair loop | spread |", "|---|---|---|---|"]
    for entry in summary["gains"].values():
        low, high = entry["spread"]
        rows.append(
            f"| {entry['what']} | {entry['samples_per_s']:,.0f} | {entry['value']:.2f} | {low:.2f}–{high:.2f} |"
        )
    return "\n".join(rows)


def overheads(summary: Mapping[str, Any]) -> str:
    """Probes by depth, and where the time of a whole study goes."""
    absolute, jobs = summary["absolute"], summary["jobs"]
    rows = ["| training | steps | probes add | evaluations add |", "|---|---|---|---|"]
    for depth, steps in summary["steps"].items():
        number = depth.removeprefix("depth ")
        probes = absolute[f"probe_overhead_d{number}"]["value"]
        evaluations = absolute[f"evaluation_over_training_d{number}"]["value"]
        rows.append(f"| {depth} | {steps} | {probes:.1%} | {evaluations:.1%} |")
    seconds = jobs["core_seconds"]
    phases = ", ".join(f"{phase} {value / sum(seconds.values()):.1%}" for phase, value in seconds.items())
    lines = [
        *rows,
        "",
        f"In {jobs['study']}, {jobs['wall_s'] / 60:.0f} minutes: {summary['job_overhead']['value']:.1%} of the cores' "
        f"time was no work of the study's ({jobs['outside_training_alone']:.1%} was no training step). The clock "
        f"inside the jobs: {phases}.",
    ]
    if "cost_jobs_s" in jobs:
        lines[-1] += (
            f" The jobs that measure costs, {jobs['cost_jobs_s'] / 60:.1f} minutes alone on the machine, are left out; "
            f"with them as overhead it would be {jobs['with_cost_jobs']:.1%}."
        )
    return "\n".join(lines)


def profile(found: Mapping[str, Any]) -> str:
    other = ("step_ms", "products_over_best_rate", "training_over_best_rate", "timing_overhead")
    shapes = found["shapes"]
    first = next(iter(shapes.values()))
    parts = sorted((part for part in first if part not in other), key=lambda part: -first[part]["value"])
    rows = ["| share of a step | " + " | ".join(shapes) + " |", "|---|" + "---|" * len(shapes)]
    for part in parts:
        rows.append(f"| {part} | " + " | ".join(f"{shape[part]['value']:.1%}" for shape in shapes.values()) + " |")
    names = {
        "step_ms": ("milliseconds per step of a chunk", ".1f"),
        "products_over_best_rate": ("products' rate over the best", ".0%"),
        "training_over_best_rate": ("training's rate over the best", ".0%"),
        "timing_overhead": ("what the timing itself adds", ".1%"),
    }
    for part, (name, form) in names.items():
        rows.append(f"| *{name}* | " + " | ".join(f"{shape[part]['value']:{form}}" for shape in shapes.values()) + " |")
    return "\n".join([*rows, "", where(found["machine"], f"medians of {first['step_ms']['rounds']} rounds.")])


def growth(found: Mapping[str, Any]) -> str:
    rows = []
    for name, points in found["points"].items():
        first, last = points[0], points[-1]
        rows += [
            f"![Throughput and peak memory against {name}: from {first['at']} to {last['at']}, {first['value']:,.0f} "
            f"to {last['value']:,.0f} replica-steps per second](figures/growth-{name}.svg)",
            "",
            f"| {name} | replica-steps/s | spread | of the roofline | peak MB |",
            "|---|---|---|---|---|",
        ]
        for point in points:
            low, high = point["spread"]
            rows.append(
                f"| {point['at']} | {point['value']:,.0f} | {low:,.0f}–{high:,.0f} | "
                f"{point['value'] / point['bound']:.0%} | {point['peak_mb']:,.0f} |"
            )
        rows.append("")
    best = found["best_product_flops"]
    text = f"best product {best['value'] / 1e9:,.0f} GFLOP/s in {found['processes']} processes together."
    return "\n".join([*rows, where(found["machine"], text)])


def pruning(found: Mapping[str, Any]) -> str:
    saved, ranks = found["savings"], found["early_ranks_of_best"]
    steps = saved["replica_steps"]
    places = ", ".join(f"{place} in {count}" for place, count in enumerate(ranks, 1) if count) + " runs."
    return "\n".join(
        [
            f"In {found['compared']} unpruned pilot runs the rule would have discarded the rate that is best in the "
            f"end {found['changed']} times; the largest loss of mean validation accuracy on the tuning seeds was "
            f"{100 * found['largest_accuracy_lost']:.2f} points. The rank at the pruning step of the rate that was "
            f"best in the end: {places}",
            "",
            "| saving | replica-steps without it, over those with it |",
            "|---|---|",
            f"| pruning | {saved['without_pruning'] / steps:.2f} |",
            f"| runs shared by experiments ({saved['runs_asked_for']} asked for, {saved['runs']} trained) | "
            f"{saved['without_sharing'] / steps:.2f} |",
            f"| both | {saved['without_either'] / steps:.2f} |",
            f"| dropping replicas that diverge ({found['diverged']} of {found['tuning_replicas']} in the pilot's "
            f"tuning) | {1 / (1 - found['saved_by_dropping']):.2f} |",
        ]
    )


def rounding(found: Mapping[str, Any]) -> str:
    columns = ("networks", "equal to the last bit", "median and largest difference of one network")
    columns += ("other learning rate selected", "largest difference of a mean over seeds")
    rows = ["| training | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for depth, of in found["depths"].items():
        rows.append(
            f"| {depth} | {of['replicas']} | {of['equal']:.0%} | {100 * of['median']:.2f}, {100 * of['largest']:.1f} | "
            f"{of['other_rate']} of {of['runs']} | {100 * of['largest_of_means']:.2f} "
            f"({of['largest_in_standard_errors']:.1f} standard errors) |"
        )
    return "\n".join([*rows, "", "Differences of test accuracy, in points."])


def machines(found: Mapping[str, Any]) -> str:
    changed = "; ".join(f"{row}: {before}, then {after}" for row, (before, after) in found["changed"].items())
    said = (
        f"Of {found['verdicts']} verdicts {len(found['changed'])} changed, {found['opposite']} of them to the opposite"
    )
    return f"{rounding(found)} {said}{f' ({changed})' if changed else ''}."


def probe_samples(found: Mapping[str, Any]) -> str:
    def shown(ratio: float | None) -> str:
        return "∞" if ratio is None else f"{ratio:.2f}"

    sizes = [str(size) for size in found["sizes"]]
    heads = [*(f"{size} samples" for size in sizes), "float32", "the probe"]
    rows = ["| metric | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for metric, changes in found["metrics"].items():
        cells = [f"{shown(changes[size]['median'])}, {shown(changes[size]['high'])}" for size in sizes]
        cells += [shown(changes[way]["worst"]) if way in changes else "–" for way in ("float32", "probe")]
        rows.append(f"| `{metric}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def designs(found: Mapping[str, Any]) -> str:
    """What each design of tuning and evaluation gives, from the best to the worst setting."""
    columns = {"alarms": "false alarms of A against A", "coverage": "coverage", "sd": "sd of the estimate"}
    rows = ["| learning rate | " + " | ".join(columns.values()) + " |", "|---|" + "---|" * len(columns)]
    by_design: dict[str, list[dict[str, Any]]] = {}
    for setting in found["settings"]:
        by_design.setdefault(setting["design"], []).append(setting)
    for name, settings in by_design.items():
        ranges = ((min(values), max(values)) for values in ([one[column] for one in settings] for column in columns))
        rows.append(f"| {name} | " + " | ".join(f"{low:.3f}–{high:.3f}" for low, high in ranges) + " |")
    noises, gaps = (list(dict.fromkeys(one[name] for one in found["settings"])) for name in ("noise", "gap"))
    error = 2 * math.sqrt(0.05 * 0.95 / found["studies"])
    text = (
        f"Nominal 5% and 95%; {found['studies']:,} simulated studies in each of {len(noises) * len(gaps)} settings, so "
        f"that a share of 5% is known within {error:.3f}. Gaps between neighbouring rates: "
        f"{', '.join(f'{gap:g}' for gap in gaps)} points. A network's noise, of one point on average: "
        f"{'; '.join(noises)}."
    )
    return "\n".join([*rows, "", text])


def pilots(found: Mapping[str, Any]) -> str:
    """Steps that are enough, by depth and dataset, and for all datasets of a depth."""
    names = list(dict.fromkeys(one["dataset"] for one in found["runs"]))
    rows = ["| hidden layers | " + " | ".join(names) + " | all |", "|---|" + "---|" * (len(names) + 1)]
    never = f"more than {found['longest']:,}"
    for depth in dict.fromkeys(one["depth"] for one in found["runs"]):
        own = {one["dataset"]: one for one in found["runs"] if one["depth"] == depth}
        steps = [own[name]["steps"] for name in names]
        shown = [
            f"{one['steps']:,} ({one['accuracy']:.1%})" if one["steps"] else f"{never} ({one['in_the_end']:.1%})"
            for one in (own[name] for name in names)
        ]
        whole = f"{max(filter(None, steps)):,}" if all(steps) else never
        rows.append(f"| {depth} | " + " | ".join(shown) + f" | {whole} |")
    text = (
        f"ReLU for {found['longest']:,} steps at its best rate, {found['seeds']} networks each of the seed stream "
        f"`pilot`; in brackets the mean validation accuracy by then. δ is {100 * found['delta']:g} point."
    )
    return "\n".join([*rows, "", text])


def scale(found: Mapping[str, Any]) -> str:
    """Seconds and memory of every step, a line per study."""
    steps = list(found["studies"][0]["steps"])
    rows = [
        "| runs | activations | jobs | " + " | ".join(steps) + " | page |",
        "|---|---|---|" + "---|" * (len(steps) + 1),
    ]
    for one in found["studies"]:
        cells = [f"{of['seconds']:.0f} s ({of['processor_s']:.0f}), {of['mb']:,.0f} MB" for of in one["steps"].values()]
        about = [f"{one[name]:,}" for name in ("runs", "activations", "jobs")]
        rows.append(f"| {' | '.join([*about, *cells])} | {one['page_mb']:.1f} MB |")
    text = f"{found['studies'][0]['machine']}, {found['date']}; in brackets seconds of processor time."
    return "\n".join([*rows, "", text])


SECTIONS = {
    "scale": {"scale": scale},
    "summary": {"bench": bench, "gains": gains, "overheads": overheads},
    "profile": {"profile": profile},
    "growth": {"growth": growth},
    "probe_samples": {"probe_samples": probe_samples},
    "pruning": {"pruning": pruning},
    "rounding": {"rounding": rounding},
    "machines": {"machines": machines},
    "designs": {"designs": designs},
    "pilots": {"pilots": pilots},
}


if __name__ == "__main__":
    main()
