"""Tables of scripts/transferability.py, and what goes into them."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.rank_agreement import Agreement, least_tau
from simreal.check.scores import PROMISE, Scores
from simreal.check.transfer_metrics import Estimate
from simreal.check.trials import Trials
from simreal.errors import SimrealError
from simreal.study import Source, Table
from simreal.study.arms import cells_of
from simreal.targets import label_of

Rows = list[dict[str, Any]]
ByDomain = dict[str, dict[str, float | None]]
STATIC = "static: severity, then family"
# From one thing that is changed to many, as the suite lists them; fixed before anything was measured.
FAMILIES = ("appearance", "sensing", "dynamics", "combined")


def rows_of(path: Path, source: Source, run_seed: int, demos: int) -> Rows:
    """Return the rows of a table that are cells of this source in the suite, with these seeds and demos.

    Raises:
        SimrealError: if there are none.
    """
    if not path.is_file():
        raise SimrealError(f"{path}: no such table: scripts/transfer_matrix.py or `simreal study` makes one")
    cells = [row for _, rows in cells_of(Table(path), source).values() for row in rows]
    found = [
        row for row in cells if row["run_seed"] == run_seed and row["demos"] in (0, demos) and row["family"]
    ]
    if not found:
        what = f"run seed {run_seed} and {demos} demonstrations"
        raise SimrealError(f"{path}: no cell of the source {source.name} with {what}")
    return found


def domains_of(rows: Rows, methods: Sequence[str]) -> dict[str, str]:
    """Return the label and the family of each domain that has every method which any domain has."""
    tried: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        tried[label_of(row["domain"], row["severity"])].add(row["candidate"])
    needed = set(methods) & set().union(*tried.values())
    families = {label_of(row["domain"], row["severity"]): row["family"] for row in rows}
    return {label: family for label, family in families.items() if needed <= tried[label]}


def means(scores: Sequence[Scores]) -> dict[str, float | None]:
    """Return the mean of each score; None where it is missing somewhere."""
    found: dict[str, float | None] = {}
    for name in PROMISE:
        values = [getattr(each, name) for each in scores]
        found[name] = None if None in values else float(np.mean(values))
    return found


def as_scores(plain: Mapping[str, float | None]) -> Scores:
    """Return means as scores again."""
    return Scores(**plain)  # type: ignore[arg-type]


def promises(scores: ByDomain) -> dict[str, list[float]]:
    """Return every score that all domains have, turned so that more promises more."""
    found = {name: [as_scores(each).promise(name) for each in scores.values()] for name in PROMISE}
    return {
        name: [v for v in values if v is not None] for name, values in found.items() if None not in values
    }


def static_ranking(families: Mapping[str, str]) -> list[float]:
    """Return a ranking of domains by their severity, then by family; more promises more."""
    return [
        -float(len(FAMILIES) * int(label.rpartition("@")[2]) + FAMILIES.index(family))
        for label, family in families.items()
    ]


def gains(rows: Rows, domains: Sequence[str], methods: Sequence[str]) -> dict[str, list[float]]:
    """Return what methods came to in each domain: success, and points over the baselines that are there."""
    by_seed: defaultdict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for row in rows:
        by_seed[row["candidate"], label_of(row["domain"], row["severity"])][row["seed"]] = row["success_rate"]
    found: dict[str, list[float]] = {}
    for name in methods:
        if any((name, domain) not in by_seed for domain in domains):
            continue
        found[f"{name}: success"] = [float(np.mean(list(by_seed[name, d].values()))) for d in domains]
        for baseline in (ZERO_SHOT, TARGET_ONLY):
            if all((baseline, domain) in by_seed for domain in domains):
                pairs = [(by_seed[name, d], by_seed[baseline, d]) for d in domains]
                found[f"{name}: gain over {baseline}"] = [
                    float(np.mean([ours[s] - theirs[s] for s in ours.keys() & theirs.keys()]))
                    for ours, theirs in pairs
                ]
    return found


def scored(scores: ByDomain) -> list[str]:
    """Return the scores by domain."""
    lines = ["| domain | " + " | ".join(PROMISE) + " |", "|---" * (1 + len(PROMISE)) + "|"]
    for domain, found in scores.items():
        cells = ["-" if value is None else f"{value:.3f}" for value in found.values()]
        lines.append(f"| {domain} | " + " | ".join(cells) + " |")
    return lines


def judged(found: Sequence[Agreement], seeds: int) -> list[str]:
    """Return tau by score and gain, what is worth anything marked, and a plain sentence on each gain."""
    gains, names = (list(dict.fromkeys(getattr(item, key) for item in found)) for key in ("gain", "score"))
    by_place = {(item.score, item.gain): item for item in found}
    lines = ["| score | " + " | ".join(gains) + " |", "|---" * (1 + len(gains)) + "|"]
    lines += [
        f"| {name} | " + " | ".join(_tau(by_place[name, gain]) for gain in gains) + " |" for name in names
    ]
    for gain in gains:
        parts = []
        for worth, words in (
            ("worth something", "worth something"),
            ("ranks backwards", "ranking backwards"),
        ):
            shown = [name for name in names if name != STATIC and by_place[name, gain].worth == worth]
            parts.append(f"{words}: {', '.join(shown) or 'none'}")
        domains = by_place[names[0], gain].domains
        lines.append(f"{gain}, {domains} domains, {seeds} seeds each: " + "; ".join(parts))
    least = least_tau(domains, len(set(names) - {STATIC}))
    lines.append(
        "so few domains can show nothing" if least is None else f"no tau below {least:.2f} could be shown"
    )
    return lines


def _tau(item: Agreement) -> str:
    text = f"{item.tau:+.2f} ({item.ci_low:+.2f} to {item.ci_high:+.2f})"
    if item.score == STATIC or item.worth == "worth nothing shown":
        return text
    return f"**{text}** {'worth' if item.worth == 'worth something' else 'backwards'}"


def picked(scores: Sequence[Scores], trials: Trials) -> dict[str, int]:
    """Return the source that each score would take, the first of equals."""
    found = {
        f"highest promise by {name}": [each.promise(name) for each in scores]
        for name in PROMISE
        if all(each.promise(name) is not None for each in scores)
    }
    found["least held-out error"] = [-float(errors.mean()) for errors in trials.sources]
    return {name: int(np.argmax(np.array(values, float))) for name, values in found.items()}


def mean_success(rows: Rows) -> float:
    """Return the mean success of cells."""
    return float(np.mean([row["success_rate"] for row in rows]))


def realised(names: Sequence[str], targets: Sequence[str], success: NDArray[np.float64]) -> list[str]:
    """Return success by source and target."""
    lines = ["| source | " + " | ".join(targets) + " |", "|---" * (1 + len(targets)) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{rate:.2f}" for rate in row) + " |"
        for name, row in zip(names, success, strict=True)
    ]
    return lines


def regrets(
    lost: Mapping[str, Estimate], choices: Mapping[str, Sequence[int]], names: Sequence[str]
) -> list[str]:
    """Return what each way of choosing loses to the oracle, and what it chose."""
    lines = ["| choice | regret, points | chosen on each target |", "|---" * 3 + "|"]
    for name, found in sorted(lost.items(), key=lambda item: item[1].value):
        value, low, high = (100 * number for number in dataclasses.astuple(found))
        chosen = ", ".join(names[index] for index in choices[name])
        lines.append(f"| {name} | {value:.1f} ({low:.1f} to {high:.1f}) | {chosen} |")
    return lines
