"""What choosing a method beforehand is worth: python scripts/method_choice.py --run runs/train.

Every target of a study's table is left out once: an ensemble that learned from the others, with the gap
between source and target, chooses a method for it, and so do simpler ways. Printed is the success that each
loses to the best method in hindsight, for each transfer setting. The gaps are measured once and kept beside
the table; started again, it goes on.
"""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simreal.exits import run_script
from simreal.results import write_result
from simreal.study import Source
from simreal.study.arms import Case, Limits, limited
from simreal.study.choice import Record, gap_numbers, record
from simreal.study.recommend import past_cases

_ALL = 1 << 40
SETTINGS: dict[str, tuple[Limits, tuple[str, ...] | None]] = {
    "inductive": (Limits(_ALL, _ALL, _ALL), ("inductive", "target-only")),
    "label-free": (Limits(0, _ALL, 0), ("transductive", "unsupervised")),
    "any": (Limits(_ALL, _ALL, _ALL), None),
}


@dataclass
class Options:
    """Which run, and which table."""

    run: tuple[Path, ...] = (Path("runs/train"),)
    """Pretraining runs that the table has cells of."""
    table: Path = Path("docs/transfer_matrix.parquet")
    """Cells of a study; it is read, never written."""
    seed: int = 0
    """Of the ensemble."""
    json: Path | None = None
    """Write the result there as JSON."""


def main(options: Options) -> None:
    """Measure the gaps that are missing, leave every target out, and print what was lost."""
    started = time.perf_counter()
    cases = past_cases(options.table, [Source.of_run(path) for path in options.run])
    records = {}
    for name, (limits, settings) in SETTINGS.items():
        of_setting = limited(cases, limits, settings)
        numbers = gap_numbers(of_setting, labels=not limits.label_free)
        records[name] = record(of_setting, numbers, options.seed)
    print("\n".join([*_gaps(cases), "", *_regrets(records), "", *_choices(records)]))
    for name, found in records.items():
        print(f"{name}: {found.verdict}")
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "method_choice", options.seed, seconds, choice=records)


def _gaps(cases: Sequence[Case]) -> list[str]:
    """Return the gap of every target."""
    gaps = {case.target: case.gap.numbers() for case in cases}
    names = list(dict.fromkeys(name for numbers in gaps.values() for name in numbers))
    lines = ["| target | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for target, numbers in gaps.items():
        cells = [f"{numbers[name]:.2f}" if name in numbers else "-" for name in names]
        lines.append(f"| {target} | " + " | ".join(cells) + " |")
    return lines


def _regrets(records: dict[str, Record]) -> list[str]:
    """Return points lost by setting and way of choosing."""
    names = [way.name for way in next(iter(records.values())).ways]
    lines = [
        "| setting | methods | " + " | ".join(names) + " | ensemble less best fixed |",
        "|---" * (3 + len(names)) + "|",
    ]
    for setting, found in records.items():
        cells = [f"{_points(dataclasses.astuple(way.regret))}" for way in found.ways]
        over = _points(dataclasses.astuple(found.over_fixed), "+")
        lines.append(f"| {setting} | {found.arms} | " + " | ".join(cells) + f" | {over} |")
    return lines


def _points(ends: tuple[float, ...], sign: str = "") -> str:
    value, low, high = (f"{100 * end:{sign}.1f}" for end in ends)
    return f"{value} ({low} to {high})"


def _choices(records: dict[str, Record]) -> list[str]:
    """Return what was chosen on every target, without the budgets."""
    lines = []
    for setting, found in records.items():
        for way in found.ways[:2]:
            chosen = ", ".join(f"{target}: {arm.split(' (')[0]}" for target, arm in way.chosen.items())
            lines.append(f"{setting}, {way.name}: {chosen}")
    return lines


if __name__ == "__main__":
    run_script(main, Options)
