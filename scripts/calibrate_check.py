"""Measure how often the check is wrong: python scripts/calibrate_check.py.

Comparisons are simulated whose answer is known. Every training seed has a true success rate, drawn around
the candidate's, and is scored on 50 episodes; the rule is that of `simreal check`. The worlds differ in
how their seeds do:

- even: normal around 0.5, candidate and target-only alike;
- skewed: beta around 0.9, both alike: most seeds do well, a few fail;
- odd failures: the candidate is skewed so, and target-only steady (deviation 0.01);
- odd successes: the mirror of it around 0.1, where most seeds fail and a few do well.

With the spreads that a study measured (`--table`), seeds are beta distributed about its candidates' means: a
check of what is as spread as trained policies are.

`negative` or `positive` is false where both have the same expected success; `safe` (or `positive`) where the
candidate's is lower by the margin. The nominal rate of each is 2.5%, and 5% is what it must not pass.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured_spreads import like, measured_pairs
from numpy.typing import NDArray
from simulated_seeds import CENTERS, EPISODES, betting_verdicts, pocock, simulate, theoretical_power

from simreal.check.bootstrap import bca_interval
from simreal.check.many import sequential_verdicts, verdicts
from simreal.check.sequential import Plan
from simreal.check.statistics import wilson_interval
from simreal.check.verdict import MARGIN
from simreal.exits import run_script
from simreal.results import write_result

SEEDS = (6, 8, 10, 20)
SPREADS = (0.01, 0.02, 0.05, 0.1, 0.15)  # between seeds, as trained policies show them
BUDGETS = (8, 10, 20)  # of sequential checks
LIMIT = 0.05
RESAMPLES = 1000  # of a BCa interval
AS_MANY = 20  # measured pairs share so many times the comparisons of a simulated world
AT_ONCE = 200  # comparisons whose resamples are held in memory
FALSE = ("false_negative", "false_positive", "false_safe")
TITLES = {
    "errors": "False verdicts, the worst over spreads; nominal 2.5",
    "measured": "False verdicts with the spreads of a study; how many pairs are above 5%, and the worst",
    "power": "Differences found in the even world, beside the power of the paired t-test",
    "coverage": "How often 95% intervals hold the true difference of none",
    "looking": "Looking on the way: false verdicts, +10 points found, seeds saved",
    "ways": "Ways of looking at twenty seeds in the even world",
}
Rows = list[dict[str, Any]]


@dataclass
class Options:
    """How much to simulate."""

    table: Path = Path("docs/transfer_matrix.parquet")
    """Cells of a study, whose spreads are taken too."""
    run_seed: int = 700
    """Of the cells: that of fresh seeds."""
    comparisons: int = 10_000
    """For each world, spread, number of seeds and true difference."""
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


@dataclass(frozen=True)
class Rate:
    """How often something happened, and its 95% Wilson interval."""

    rate: float
    ci_low: float
    ci_high: float

    @classmethod
    def of(cls, happened: NDArray[np.bool_]) -> "Rate":
        """Count it."""
        return cls(float(happened.mean()), *wilson_interval(int(happened.sum()), len(happened)))

    def __str__(self) -> str:
        return f"{100 * self.rate:.1f} ({100 * self.ci_low:.1f}-{100 * self.ci_high:.1f})"


def wrong(same: NDArray[np.str_], worse: NDArray[np.str_]) -> dict[str, Rate]:
    """Return the rates of false verdicts at no difference, and at one of minus the margin."""
    return {
        "false_negative": Rate.of(same == "negative"),
        "false_positive": Rate.of(same == "positive"),
        "false_safe": Rate.of((worse == "safe") | (worse == "positive")),
    }


def errors(options: Options) -> Rows:
    """Return the rates of false verdicts for each world, number of seeds and spread."""
    rows: Rows = []
    for world, seeds, spread in ((w, n, s) for w in CENTERS for n in SEEDS for s in SPREADS):
        rng, shape = np.random.default_rng([options.seed, 0, len(rows)]), (options.comparisons, seeds)
        same = verdicts(simulate(world, spread, 0, shape, rng), EPISODES)[0]
        worse = verdicts(simulate(world, spread, -MARGIN, shape, rng), EPISODES)[0]
        rows.append({"world": world, "seeds": seeds, "spread": spread, **wrong(same, worse)})
    return rows


def measured(options: Options) -> Rows:
    """Return the rates of false verdicts for the spreads of a study: of all its pairs, and of the worst."""
    pairs, rows = measured_pairs(options.table, options.run_seed), Rows()
    count = -(-AS_MANY * options.comparisons // len(pairs))
    for seeds in SEEDS:
        rng, shape = np.random.default_rng([options.seed, 5, seeds]), (count, seeds)
        found = {
            pair.name: (
                verdicts(like(pair, 0, shape, rng), EPISODES)[0],
                verdicts(like(pair, -MARGIN, shape, rng), EPISODES)[0],
            )
            for pair in pairs
        }
        whole = wrong(*(np.concatenate(part) for part in zip(*found.values(), strict=True)))
        each = {name: wrong(*own) for name, own in found.items()}
        above = sum(any(rates[kind].ci_low > LIMIT for kind in FALSE) for rates in each.values())
        last = max(each, key=lambda name: max(each[name][kind].rate for kind in FALSE))
        top = 100 * max(each[last][kind].rate for kind in FALSE)
        rows.append(
            {"pairs": len(pairs), "seeds": seeds, **whole, "above": above, "worst": f"{last}: {top:.1f}"}
        )
    return rows


def power(options: Options) -> Rows:
    """Return how often differences are found in the even world, beside the paired t-test's power."""
    rows: Rows = []
    for spread, shift, seeds in ((s, d, n) for s in (0.05, 0.1) for d in (0.05, 0.1, 0.2) for n in SEEDS):
        rng, shape = np.random.default_rng([options.seed, 1, len(rows)]), (options.comparisons, seeds)
        better = verdicts(simulate("even", spread, shift, shape, rng), EPISODES)[0]
        worse = verdicts(simulate("even", spread, -shift, shape, rng), EPISODES)[0]
        found = {"positive": Rate.of(better == "positive"), "negative": Rate.of(worse == "negative")}
        theory = theoretical_power(shift, spread, seeds)
        rows.append({"spread": spread, "difference": shift, "seeds": seeds, **found, "theory": theory})
    return rows


def coverage(options: Options) -> Rows:
    """Return how often 95% intervals hold the true difference of none."""
    rows: Rows = []
    for world, spread, seeds in (
        (w, s, n) for w in ("even", "odd failures") for s in (0.05, 0.15) for n in SEEDS
    ):
        rng, shape = np.random.default_rng([options.seed, 2, len(rows)]), (options.comparisons, seeds)
        wins = simulate(world, spread, 0, shape, rng)
        _, low, high = verdicts(wins, EPISODES)
        parts = [wins[at : at + AT_ONCE] / EPISODES for at in range(0, len(wins), AT_ONCE)]
        ends = [
            np.concatenate(end)
            for end in zip(*(bca_interval(p, resamples=RESAMPLES) for p in parts), strict=True)
        ]
        found = {"t": Rate.of((low <= 0) & (high >= 0)), "bca": Rate.of((ends[0] <= 0) & (ends[1] >= 0))}
        rows.append({"world": world, "spread": spread, "seeds": seeds, **found})
    return rows


def looking(options: Options) -> Rows:
    """Return what looking on the way costs and saves: false verdicts, power, seeds saved."""
    rows: Rows = []
    for world, budget, spread in ((w, n, s) for w in CENTERS for n in BUDGETS for s in (0.05, 0.1)):
        rng, shape = np.random.default_rng([options.seed, 3, len(rows)]), (options.comparisons, budget)
        shifts = {"same": 0.0, "worse": -MARGIN, "better": 0.1, "far better": 0.3, "far worse": -0.3}
        wins = {name: simulate(world, spread, shift, shape, rng) for name, shift in shifts.items()}
        found = {
            name: sequential_verdicts(each, EPISODES, Plan.of_budget(budget)) for name, each in wins.items()
        }
        row = {"world": world, "seed_budget": budget, "spread": spread}
        row |= wrong(found["same"][0], found["worse"][0])
        row["positive"] = Rate.of(found["better"][0] == "positive")
        row["positive_without_looks"] = Rate.of(verdicts(wins["better"], EPISODES)[0] == "positive")
        row["saved"] = {name: float(budget - used.mean()) for name, (_, used) in found.items()}
        rows.append(row)
    return rows


def ways(options: Options) -> Rows:
    """Return ways of looking at twenty seeds in the even world: what each finds, and with how many seeds."""
    plan, rows = Plan.of_budget(20), []
    for spread, shift in ((0.05, 0.1), (0.05, 0.3), (0.1, 0.1), (0.1, 0.3)):
        rng = np.random.default_rng([options.seed, 4, len(rows)])
        wins = simulate("even", spread, shift, (options.comparisons, 20), rng)
        found = {
            "no looks": (verdicts(wins, EPISODES)[0], np.full(len(wins), 20)),
            "O'Brien-Fleming": sequential_verdicts(wins, EPISODES, plan),
            "Pocock": sequential_verdicts(wins, EPISODES, plan, pocock),
            "betting": betting_verdicts(wins),
        }
        for way, (verdict, used) in found.items():
            row = {"spread": spread, "difference": shift, "way": way, "seeds": float(used.mean())}
            rows.append(row | {"positive": Rate.of(verdict == "positive")})
    return rows


def worst(rows: Rows) -> Rows:
    """Return of false verdicts, for each world and number of seeds, the highest rate and its spread."""
    found: Rows = []
    for world, seeds in ((w, n) for w in CENTERS for n in SEEDS):
        mine = [row for row in rows if (row["world"], row["seeds"]) == (world, seeds)]
        tops = {kind: max(mine, key=lambda row, kind=kind: row[kind].rate) for kind in FALSE}
        cells = {kind: f"{_told(kind, row[kind])} at {row['spread']:g}" for kind, row in tops.items()}
        found.append({"world": world, "seeds": seeds, **cells})
    return found


def table(rows: Rows) -> str:
    """Return rows as Markdown, with rates in percent; a rate of false verdicts above the limit is bold."""
    flat = [row | {f"saved, {name}": value for name, value in row.get("saved", {}).items()} for row in rows]
    names = [name for name in flat[0] if name != "saved"]
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * len(names) + "|"]
    return "\n".join(
        [*lines, *("| " + " | ".join(_told(name, row[name]) for name in names) + " |" for row in flat)]
    )


def _told(name: str, value: Any) -> str:
    if name == "theory" or name.startswith("saved"):
        return f"{100 * value if name == 'theory' else value:.1f}"
    text = "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
    return f"**{text}**" if name in FALSE and isinstance(value, Rate) and value.ci_low > LIMIT else text


def above(rows: Rows) -> str:
    """Return which worlds and spreads have a rate of false verdicts above the limit, interval and all."""
    bad = [row for row in rows if any(row[kind].ci_low > LIMIT for kind in FALSE)]
    where = dict.fromkeys(f"{row['world']} at {row['spread']:g}" for row in bad)
    return f"Above 5%, interval and all: {len(bad)} of {len(rows)}; {', '.join(where) or 'none'}"


def main(options: Options) -> None:
    """Simulate, and print the tables."""
    started = time.perf_counter()
    parts: dict[str, Rows] = {}
    for measure in (errors, measured, power, coverage, looking, ways):
        name = measure.__name__
        parts[name] = measure(options)
        print(
            f"{TITLES[name]}\n\n{table(worst(parts[name]) if name == 'errors' else parts[name])}\n",
            flush=True,
        )
        if name in ("errors", "looking"):
            print(f"{above(parts[name])}\n", flush=True)
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "calibrate_check", options.seed, seconds, calibration=parts)


if __name__ == "__main__":
    run_script(main, Options)
