"""What `simreal adapt --guard` costs, and what it prevents: python scripts/guard_study.py.

Simulated: every combination of true success rates of the adapted policy, the source and target-only, many
days each. `harmful` is the share of days on which what is returned is more than five points worse than the
better of the alternatives; `cost` is what its true rate lacks to the best of all. Both are means over
combinations, and beside them those of the worst combination.

From a table of cells (`--table`) that keeps the outcome of every episode: the first episodes of each cell are
the guard's rollouts, and the rest judge what it chose. All candidates of a training seed ran in the same
episodes. A method that takes no demonstrations has the source alone as its alternative. `worse` counts
domains with the verdict `negative`, corrected after Holm over all methods, domains and baselines, and in
brackets by plain 95% intervals, of which one in forty is so by chance. `cost` is against the best of each
seed in hindsight, whose luck is in it, and against the candidate that is the domain's best on average.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import guard_worlds
import numpy as np
from guard_cases import GUARDED, Case, compare, judge, read_cases, summary

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.exits import run_script
from simreal.results import write_result

SIMULATED = (10, 20, 30, 60)  # rollouts
HARM = 0.05
Rows = list[dict[str, Any]]


@dataclass
class Options:
    """What to judge, and how much to simulate."""

    table: Path = Path("docs/transfer_matrix.parquet")
    """Cells of a study."""
    rollouts: tuple[int, ...] = (10, 20, 30)
    """Of the guard in the table's cells, over all candidates."""
    demos: int = 10
    """Demonstrations of the cells that have some."""
    run_seed: int = 700
    """Of the cells: that of fresh seeds."""
    days: int = 400
    """Simulated for each combination."""
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


def simulated(options: Options) -> Rows:
    """Return how often each rule does harm, and what it costs."""
    return [
        {"candidates": candidates, "world": world, "rollouts": rollouts, **row}
        for candidates, world in ((3, "independent"), (3, "shared"), (2, "independent"))
        for rollouts in SIMULATED
        for row in _rules(candidates, world, rollouts, options)
    ]


def _rules(candidates: int, world: str, rollouts: int, options: Options) -> Rows:
    """Return a row for each rule; all get the same days."""
    rng = np.random.default_rng([options.seed, candidates, rollouts, int(world == "shared")])
    harm: dict[str, list[float]] = {rule: [] for rule in guard_worlds.RULES}
    cost: dict[str, list[float]] = {rule: [] for rule in guard_worlds.RULES}
    for rates in guard_worlds.cases(candidates):
        days = guard_worlds.simulate(rates, world, (options.days, rollouts // 2), rng)
        for rule, choose in guard_worlds.RULES.items():
            found = rates[choose(days, rollouts)]
            harm[rule].append(float(np.mean(found < rates[1:].max() - HARM)))
            cost[rule].append(float(rates.max() - found.mean()))
    return [
        {
            "rule": rule,
            "harmful": float(np.mean(harm[rule])),
            "harmful_at_worst": max(harm[rule]),
            "cost": float(np.mean(cost[rule])),
            "cost_at_worst": max(cost[rule]),
        }
        for rule in guard_worlds.RULES
    ]


def study(cases: list[Case], rollouts: int) -> dict[str, Any]:
    """Return what a guard of so many rollouts does to every method, and where it is worse than a baseline."""
    judged = [judge(case, rollouts) for case in cases]
    told = {"unguarded": compare(judged, None), GUARDED: compare(judged, GUARDED)}
    methods = dict.fromkeys(case.method for case in cases)
    halves = [each.difference - each.ci_low for each in told[GUARDED]]
    return {
        "rollouts": rollouts,
        "comparisons": len(halves),
        "seen_from": {"median": float(np.median(halves)), "all": max(halves)} if halves else None,
        "methods": [summary([each for each in judged if each.case.method == name], told) for name in methods],
        "worse": {who: [each for each in found if each.verdict == "negative"] for who, found in told.items()},
    }


def simulated_table(rows: Rows) -> list[str]:
    """Return the simulation as Markdown, in percent and points."""
    lines = [
        "| candidates | world | rule | rollouts | harmful | at worst | cost | at worst |",
        "|---" * 8 + "|",
    ]
    names = ("harmful", "harmful_at_worst", "cost", "cost_at_worst")
    for row in sorted(rows, key=lambda row: (-row["candidates"], row["world"], row["rule"])):
        cells = [f"{100 * row[name]:.1f}" for name in names]
        where = [str(row[name]) for name in ("candidates", "world", "rule", "rollouts")]
        lines.append("| " + " | ".join([*where, *cells]) + " |")
    return lines


def study_table(found: list[dict[str, Any]]) -> list[str]:
    """Return what guards did as Markdown; success in percent."""
    head = (
        *("method", "rollouts", "domains", "seeds", "unguarded", ZERO_SHOT, TARGET_ONLY, "guarded", "best"),
        *("cost", "cost to the domain's best", "gain over unguarded", "returned"),
        *(f"{who} worse than {base}" for base in (ZERO_SHOT, TARGET_ONLY) for who in ("unguarded", GUARDED)),
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for part in found:
        for row in part["methods"]:
            success, name = row["success"], row["method"]
            shown = (name, ZERO_SHOT, TARGET_ONLY, GUARDED, "best")
            rates = [f"{100 * success[each]:.1f}" if each in success else "" for each in shown]
            spans = [_points(row[each]) for each in ("cost", "cost_to_domains_best", "gain")]
            returned = ", ".join(f"{each} {100 * share:.0f}" for each, share in row["returned"].items())
            counts = [row.get(each) for each in head[-4:]]
            worse = [f"{each['corrected']} ({each['plain']})" if each else "" for each in counts]
            cells = [
                name,
                *map(str, (part["rollouts"], row["domains"], row["seeds"])),
                *rates,
                *spans,
                returned,
                *worse,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _points(spread: dict[str, float | None]) -> str:
    mean, low, high = (None if value is None else 100 * value for value in spread.values())
    return f"{mean:.1f}" if low is None else f"{mean:.1f} ({low:.1f} to {high:.1f})"


def main(options: Options) -> None:
    """Simulate, judge the table's cells, and print."""
    started = time.perf_counter()
    rows = simulated(options)
    print("\n".join([*simulated_table(rows), ""]), flush=True)
    cases = read_cases(options.table, options.demos, options.run_seed)
    found = [study(cases, rollouts) for rollouts in options.rollouts] if cases else []
    if found:
        seeds = sorted({len(case.seeds) for case in cases})
        print("\n".join(study_table(found)))
        print(f"{len(cases)} cases of {seeds[0]} to {seeds[-1]} seeds")
        for part in found:
            for who, worse in part["worse"].items():
                told = "; ".join(map(str, worse)) or "nowhere"
                print(f"{part['rollouts']} rollouts, {who}, worse by the corrected verdict: {told}")
            if seen := part["seen_from"]:
                median, most = 100 * seen["median"], 100 * seen["all"]
                print(
                    f"of {part['comparisons']} comparisons half would show a loss of {median:.0f} points, "
                    f"all of them one of {most:.0f}"
                )
            for row in part["methods"]:
                for base in (ZERO_SHOT, TARGET_ONLY):
                    if over := row.get(f"gain over {base}"):
                        print(f"guarded {row['method']} over {base}, mean of the domains: {_points(over)}")
    else:
        print(f"{options.table}: no method there has its baselines' cells too, episode by episode")
    if options.json:
        seconds = time.perf_counter() - started
        parts = {"simulated": rows, "study": found}
        write_result(options.json, "guard_study", options.seed, seconds, guard_study=parts)


if __name__ == "__main__":
    run_script(main, Options)
