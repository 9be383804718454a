"""Tables of scripts/transfer_matrix.py: what the cells of a stage say, in Markdown; and what is chosen."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.statistics import t_interval
from simreal.errors import SimrealError
from simreal.report.study_plots import budget_curves, heat_map
from simreal.study import Cell
from simreal.targets import label_of
from simreal.transfer import METHODS, method

Rows = list[dict[str, Any]]
SOLVED = 0.9  # of the oracle's episodes
# Screened beside the whole, never chosen beside it.
PARTS = {"match": ("match-appearance", "match-posture", "match-motion")}


def choose(rows: Rows) -> tuple[str, str, str]:
    """Return the two best methods that learn from demonstrations, and the best that needs no labels.

    Raises:
        SimrealError: if the screen is too small for that.
    """
    found = {name: cells for name, cells in _by_candidate(rows).items() if name in METHODS}
    parts = {part for name, own in PARTS.items() if name in found for part in own}
    found = {name: cells for name, cells in found.items() if name not in parts}
    needs = {name: method(name).needs for name in found}
    labelled = _ranked({
        name: cells for name, cells in found.items()
        if "demonstrations" in needs[name] and "unlabelled frames" not in needs[name]
    })  # fmt: skip
    free = _ranked({
        name: cells for name, cells in found.items()
        if not {"demonstrations", "rewarded steps"} & set(needs[name])
    })  # fmt: skip
    if len(labelled) < 2 or not free:
        raise SimrealError("screen two methods that learn from demonstrations and one that needs no labels")
    return labelled[0], labelled[1], free[0]


def _ranked(found: dict[str, dict[tuple[str, int], float]]) -> list[str]:
    """Return the names by mean, best first; without those that lack cells which others have."""
    most = max((len(cells) for cells in found.values()), default=0)
    whole = [name for name, cells in found.items() if len(cells) == most]
    return sorted(whole, key=lambda name: -float(np.mean(list(found[name].values()))))


def screened(rows: Rows) -> list[str]:
    """Return success by method and domain, and the gain over zero-shot with its interval over seeds."""
    found, domains = _by_candidate(rows), _domains(rows)
    lines = ["| method | needs | mean | gain over zero-shot | " + " | ".join(domains) + " |"]
    lines.append("|---" * (4 + len(domains)) + "|")
    order = sorted(found, key=lambda name: -float(np.mean(list(found[name].values()))))
    for name in order:
        needs = ", ".join(method(name).needs) if name in METHODS else ""
        cells = [_mean(found[name], domain) for domain in domains]
        gain = "" if name == ZERO_SHOT else _gain(found, name, ZERO_SHOT)
        mean = np.mean(list(found[name].values()))
        lines.append(
            f"| {name} | {needs} | {mean:.2f} | {gain} | " + " | ".join(f"{c:.2f}" for c in cells) + " |"
        )
    return lines


def gains_picture(rows: Rows) -> bytes:
    """Return points gained over zero-shot by method and domain as a PNG; the best method is on top."""
    found, domains = _by_candidate(rows), _domains(rows)
    base = found.pop(ZERO_SHOT)
    names = sorted(found, key=lambda name: -float(np.mean(list(found[name].values()))))
    gains = [
        [100 * (_mean(found[name], domain) - _mean(base, domain)) for domain in domains] for name in names
    ]
    return heat_map(names, domains, np.array(gains), np.zeros((len(names), len(domains)), bool))


def solved(rows: Rows) -> list[str]:
    """Return what the oracle does not solve."""
    hard = [f"{row['domain']} ({row['success_rate']:.2f})" for row in rows if row["success_rate"] < SOLVED]
    return [
        f"oracle: {len(rows) - len(hard)} of {len(rows)} domains solved; not: {', '.join(hard) or 'none'}"
    ]


def refusals(refused: Sequence[tuple[Cell, str]]) -> list[str]:
    """Return a line for every domain and reason, with the candidates that it concerns."""
    concerned: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for each, reason in refused:
        concerned[each.target.label, reason][each.candidate] = None
    return [f"{label}: {reason} ({', '.join(names)})" for (label, reason), names in concerned.items()]


def confirmed(rows: Rows) -> list[str]:
    """Return success by domain and candidate, with intervals; means are over what all have."""
    found, domains = _by_candidate(rows), _domains(rows)
    names = list(dict.fromkeys(row["candidate"] for row in rows))
    lines = ["| domain | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for domain in domains:
        cells = [with_interval([v for (d, _), v in found[name].items() if d == domain]) for name in names]
        lines.append(f"| {domain} | " + " | ".join(cells) + " |")
    shared = whole({at for cells in found.values() for at in cells if all(at in o for o in found.values())})
    means = [with_interval(_by_seed({at: found[name][at] for at in shared})) for name in names]
    lines.append("| **mean** | " + " | ".join(f"**{mean}**" for mean in means) + " |")
    lines.append(f"means are over {_size(shared)}")
    for name in names:
        if name != ZERO_SHOT:
            size = _size(whole(found[name].keys() & found[ZERO_SHOT].keys()))
            lines.append(f"{name} against zero-shot: {_gain(found, name, ZERO_SHOT)} over {size}")
    return lines


def whole(cells: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return the largest set of (domain, seed) in which every seed has every domain: a mean for each seed."""
    by_seed: defaultdict[int, set[str]] = defaultdict(set)
    for domain, seed in cells:
        by_seed[seed].add(domain)
    blocks = [
        {(domain, seed) for seed, theirs in by_seed.items() if domains <= theirs for domain in domains}
        for domains in by_seed.values()
    ]
    return max(blocks, key=lambda block: (len(block), len({domain for domain, _ in block})), default=set())


def _size(cells: set[tuple[str, int]]) -> str:
    return f"{len({d for d, _ in cells})} domains x {len({s for _, s in cells})} seeds"


def curved(rows: Rows) -> list[str]:
    """Return success over demonstrations and severities, and how many demonstrations a method saves."""
    points: defaultdict[tuple[str, int, int, str], list[float]] = defaultdict(list)
    for row in rows:
        points[row["candidate"], row["demos"], row["severity"], row["domain"]].append(row["success_rate"])
    domains = sorted({row["domain"] for row in rows})
    lines = ["| candidate | demonstrations | severity | " + " | ".join(domains) + " |"]
    lines.append("|---" * (3 + len(domains)) + "|")
    for name, demos, severity in sorted({key[:3] for key in points}):
        cells = [with_interval(points[name, demos, severity, d]) for d in domains]
        lines.append(f"| {name} | {demos} | {severity} | " + " | ".join(cells) + " |")
    return lines + _savings(rows)


def curves_picture(rows: Rows) -> bytes:
    """Return success over demonstrations at severity 3 as a PNG, a panel for each domain."""
    points: defaultdict[str, defaultdict[str, defaultdict[int, list[float]]]]
    points = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in (row for row in rows if row["severity"] == 3):
        points[row["domain"]][row["candidate"]][row["demos"]].append(row["success_rate"])
    first = (ZERO_SHOT, TARGET_ONLY)
    panels = {
        domain: {
            name: (sorted(own), [own[demos] for demos in sorted(own)])
            for name, own in sorted(lines.items(), key=lambda line: (line[0] not in first, line[0]))
        }
        for domain, lines in sorted(points.items())
    }
    return budget_curves("demonstrations", SOLVED, panels)


def _savings(rows: Rows) -> list[str]:
    """Return how many times more demonstrations target-only needs for the method's success with ten."""
    curves: defaultdict[tuple[str, int], dict[int, float]] = defaultdict(dict)
    wanted: dict[tuple[str, int], float] = {}
    for row in rows:
        where = row["domain"], row["seed"]
        if row["severity"] == 3 and row["candidate"] == TARGET_ONLY:
            curves[where][row["demos"]] = row["success_rate"]
        elif row["severity"] == 3 and row["demos"] == 10:
            wanted[where] = row["success_rate"]
    lines, ratios = [], {}
    for domain in sorted({where[0] for where in curves}):
        found = [_needed(curves[w], wanted[w]) / 10 for w in curves if w[0] == domain and w in wanted]
        if found:
            ratios[domain] = float(np.median(found))
            never, at_once = (sum(ratio == end for ratio in found) for end in (np.inf, 1))
            lines.append(
                f"{domain}: target-only needs {ratios[domain]:.3g} times the demonstrations (median of "
                f"{len(found)} seeds, {min(found):.3g} to {max(found):.3g}; {never} never match, inf; "
                f"{at_once} with ten or fewer, 1)"
            )
    if ratios:
        lines.append(f"median domain: {np.median(list(ratios.values())):.3g} times")
    return lines


def _needed(curve: dict[int, float], wanted: float) -> float:
    """Return the demonstrations at which a curve reaches a success, between points on a log scale."""
    before: tuple[int, float] | None = None
    for demos, rate in sorted(curve.items()):
        if rate >= wanted:
            if before is None or rate == before[1]:
                return float(demos)
            share = (wanted - before[1]) / (rate - before[1])
            return float(np.exp(np.log(before[0]) + share * (np.log(demos) - np.log(before[0]))))
        before = demos, rate
    return float("inf")


def _by_candidate(rows: Rows) -> dict[str, dict[tuple[str, int], float]]:
    found: defaultdict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for row, name in zip(rows, _names(rows), strict=True):
        found[row["candidate"]][name, row["seed"]] = row["success_rate"]
    return found


def _domains(rows: Rows) -> list[str]:
    return list(dict.fromkeys(_names(rows)))


def _names(rows: Rows) -> list[str]:
    """Return the domain of each row, with its severity where rows have several."""
    several = len({row["severity"] for row in rows}) > 1
    return [label_of(row["domain"], row["severity"]) if several else row["domain"] for row in rows]


def _by_seed(cells: dict[tuple[str, int], float]) -> list[float]:
    """Return the mean over domains for each seed."""
    seeds = sorted({seed for _, seed in cells})
    return [float(np.mean([v for (_, s), v in cells.items() if s == seed])) for seed in seeds]


def _gain(found: dict[str, dict[tuple[str, int], float]], name: str, baseline: str) -> str:
    """Return the mean difference over shared cells of whole seeds, in points, with its interval."""
    shared = whole(found[name].keys() & found[baseline].keys())
    values = _by_seed({cell: 100 * (found[name][cell] - found[baseline][cell]) for cell in shared})
    if len(values) < 2:
        return "".join(f"{value:+.0f}" for value in values)
    low, high = t_interval(values)
    return f"{np.mean(values):+.0f} ({low:+.0f} to {high:+.0f})"


def _mean(cells: dict[tuple[str, int], float], domain: str) -> float:
    values = [value for (name, _), value in cells.items() if name == domain]
    return float(np.mean(values)) if values else float("nan")


def with_interval(values: Sequence[float]) -> str:
    """Return the mean of success rates over seeds with its 95% t-interval."""
    if len(values) < 2:
        return "".join(f"{value:.2f}" for value in values)
    low, high = t_interval(values)
    return f"{np.mean(values):.2f} ({max(0.0, low):.2f}-{min(1.0, high):.2f})"


PICTURES: dict[str, Callable[[Rows], bytes]] = {"screen": gains_picture, "curves": curves_picture}
TABLES: dict[str, Callable[[Rows], list[str]]] = {
    "screen": screened, "oracle": solved, "confirm": confirmed, "curves": curved,
}  # fmt: skip
