"""Compare tests of which policy is better from few rollouts: python scripts/compare_rollout_tests.py.

Days on a robot are simulated: two policies of known success rates, a rollout of each in a block, up to a
number declared beforehand. All tests see the same days:

- Barnard, one look: Barnard's exact test, looked at once, at the end;
- Barnard, every look: the same after every block, which is not valid;
- posterior, every look: calls when the posterior probability (uniform priors) that one rate is the higher one
  reaches 97.5%, after every block;
- e-process: what `simreal check --outcomes` uses where no number is declared (`simreal.check.binary`);
- STEP: Snyder et al. 2025 (arXiv:2503.10966), what it uses where one is (`simreal.check.step`).

Each is to call equal policies different on at most 5% of days.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from calibrate_check import Rate, table
from numpy.typing import NDArray
from rollout_tests import Flags, cells, decisions, regions, worst_case

from simreal.check import binary, step
from simreal.check.verdict import MARGIN
from simreal.exits import run_script
from simreal.results import write_result

EQUAL = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
APART = ((0.9, 0.3), (0.9, 0.5), (0.8, 0.4), (0.9, 0.7), (0.7, 0.5), (0.98, 0.9))
FORESEEN = ((0.9, 0.5), (0.8, 0.4), (0.7, 0.5))
ASKED = 10  # blocks after which a forecast is asked for
TITLES = {
    "alarms": "Equal policies called different, percent of days; at most 5 is promised",
    "power": "Better policies called better, percent of days; and mean blocks until a decision, or the end",
    "drift": "Equal policies called different on days that are not steady, percent",
    "worst": "Called different, percent, where an adversary sets the common rate anew in each block",
    "forecasts": f"Forecasts after {ASKED} blocks, of days not settled by then",
}
Rows = list[dict[str, Any]]
Array = NDArray[np.float64]


@dataclass
class Options:
    """How much to simulate."""

    days: int = 4000
    """For each pair of rates."""
    forecasts: int = 150
    """Days for each pair of rates whose forecast is asked for."""
    rollouts: tuple[int, ...] = field(default=(20, 50))
    """Numbers of blocks that are declared."""
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


def simulate(rates: Any, days: int, blocks: int, rng: np.random.Generator) -> Flags:
    """Return successes, (2, days, blocks), from rates that broadcast to it."""
    return np.asarray(rng.random((2, days, blocks)) < rates)


def alarms(options: Options) -> Rows:
    """Return how often policies of one rate are called different."""
    rows: Rows = []
    for blocks, rate in ((n, p) for n in options.rollouts for p in EQUAL):
        rng = np.random.default_rng([options.seed, 0, len(rows)])
        found = decisions(simulate(rate, options.days, blocks, rng))
        rows.append({"blocks": blocks, "rate": rate, **_called(found)})
    return rows


def power(options: Options) -> Rows:
    """Return how often the better policy is called better, and after how many blocks."""
    rows: Rows = []
    for blocks, pair in ((n, pair) for n in options.rollouts for pair in APART):
        rng = np.random.default_rng([options.seed, 1, len(rows)])
        drawn = simulate(np.reshape(pair, (2, 1, 1)), options.days, blocks, rng)
        row: dict[str, Any] = {"blocks": blocks, "rates": f"{pair[0]:g}, {pair[1]:g}"}
        for name, (signs, after) in decisions(drawn).items():
            row |= {name: Rate.of(signs > 0), f"{name}: blocks": float(after.mean())}
        rows.append(row)
    return rows


def _falling(first: float, last: float) -> Callable[[int], Array]:
    """Return rates over 2 n rollouts of a day that falls from first to last."""
    return lambda blocks: np.linspace(first, last, 2 * blocks)


def _interleaved(rates: Array, days: int, rng: np.random.Generator) -> Array:
    """Return rates (2, days, n): each block has both policies, one after the other, in random order."""
    pairs = np.broadcast_to(rates.reshape(-1, 2), (days, len(rates) // 2, 2))
    return np.moveaxis(rng.permuted(pairs, axis=2), 2, 0)


def _apart(rates: Array, days: int, rng: np.random.Generator) -> Array:
    """Return rates (2, days, n): all rollouts of the one policy before those of the other."""
    return rates.reshape(2, 1, -1)


def _alike(rates: Array, days: int, rng: np.random.Generator) -> Array:
    """Return rates (2, days, n): conditions in random order, each as hard for both policies."""
    order = rng.permuted(np.broadcast_to(rates[::2], (days, len(rates) // 2)), axis=1)
    return np.stack([order, order])


def _opposite(rates: Array, days: int, rng: np.random.Generator) -> Array:
    """Return rates (2, days, n): conditions drawn at random, as hard for the one as easy for the other."""
    drawn = rng.choice(rates, size=(days, len(rates) // 2))
    return np.stack([drawn, rates.max() + rates.min() - drawn])


def _opposite_in_turn(rates: Array, days: int, rng: np.random.Generator) -> Array:
    """Return rates (2, days, n): the same, but a condition comes again only when all have come."""
    turns = rng.permuted(np.broadcast_to(rates[:2], (days, len(rates) // 4 + 1, 2)), axis=2)
    drawn = turns.reshape(days, -1)[:, : len(rates) // 2]
    return np.stack([drawn, rates.max() + rates.min() - drawn])


def _two(blocks: int) -> Array:
    """Return the rates of two conditions, as often as they are needed."""
    return np.resize(np.array([0.2, 0.8]), 2 * blocks)


DAYS = {
    "falls from 0.9 to 0.5, interleaved": (_falling(0.9, 0.5), _interleaved),
    "falls from 0.9 to 0.5, one policy after the other": (_falling(0.9, 0.5), _apart),
    "falls from 1 to 0, interleaved": (_falling(1.0, 0.0), _interleaved),
    "falls from 1 to 0, one policy after the other": (_falling(1.0, 0.0), _apart),
    "conditions from 0.05 to 0.95, alike for both": (_falling(0.95, 0.05), _alike),
    "0.2 in one half of the conditions, 0.8 in the other, reversed for the other policy": (_two, _opposite),
    "the same, each condition as often": (_two, _opposite_in_turn),
}


def drift(options: Options) -> Rows:
    """Return how often policies that are equal over the day are called different, if rates are not steady."""
    rows: Rows = []
    for blocks, (day, (rates, arranged)) in ((n, item) for n in options.rollouts for item in DAYS.items()):
        rng = np.random.default_rng([options.seed, 2, len(rows)])
        drawn = simulate(arranged(rates(blocks), options.days, rng), options.days, blocks, rng)
        rows.append({"blocks": blocks, "day": day, **_called(decisions(drawn))})
    return rows


def worst(options: Options) -> Rows:
    """Return what an adversary gets: exact, and of the e-process what Ville's inequality allows."""
    return [
        {"blocks": blocks}
        | {name: 100 * worst_case(region) for name, region in regions(blocks).items()}
        | {"e-process": 100 * binary.LEVEL}
        for blocks in options.rollouts
    ]


def forecasts(options: Options) -> Rows:
    """Return how often what was said of the blocks still needed turned out to be enough."""
    rows: Rows = []
    for pair in FORESEEN:
        rng = np.random.default_rng([options.seed, 3, len(rows)])
        shape = (options.forecasts, ASKED + binary.MOST_FORESEEN)
        drawn = simulate(np.reshape(pair, (2, 1, 1)), *shape, rng)
        rows.append({"rates": f"{pair[0]:g}, {pair[1]:g}", "test": "e-process"} | _of_e_process(drawn))
        for blocks in (n for n in options.rollouts if n > ASKED):
            row = {"rates": f"{pair[0]:g}, {pair[1]:g}", "test": f"STEP, {blocks}"}
            rows.append(row | _of_step(drawn[..., :blocks]))
    return rows


def _of_e_process(drawn: Flags) -> dict[str, Any]:
    counts = cells(drawn)
    settled = np.maximum.accumulate(binary.settled(counts, MARGIN), axis=1)
    days = np.flatnonzero(~settled[:, ASKED - 1])
    said = [(day, binary.more_blocks(counts[day, ASKED - 1], MARGIN)) for day in days]
    enough = [(settled[day, ASKED + more - 1], more) for day, more in said if more is not None]
    return {"days": len(days), "chance said": None, "settled in the end": None} | _kept(enough)


def _of_step(drawn: Flags) -> dict[str, Any]:
    blocks = drawn.shape[-1]
    paths = np.moveaxis(drawn, 0, -1)
    found = [step.decide(path, blocks) for path in paths]
    after = np.array([blocks + 1 if each is None else each.after for each in found])
    days = np.flatnonzero(after > ASKED)
    said = [(day, *step.foresee(paths[day, :ASKED], blocks)) for day in days]
    enough = [(after[day] <= ASKED + more, more) for day, _, more in said if more is not None]
    chances = 100 * float(np.mean([chance for _, chance, _ in said]))
    return {
        "days": len(days), "chance said": chances, "settled in the end": Rate.of(after[days] <= blocks),
    } | _kept(enough)  # fmt: skip


def _kept(enough: list[tuple[Any, int]]) -> dict[str, Any]:
    """Return how many numbers were named, their median, and how often they were enough; 80% is promised."""
    if not enough:
        return {"numbers named": 0, "median": None, "enough": None}
    hits = np.array([bool(hit) for hit, _ in enough])
    median = int(np.median([more for _, more in enough]))
    return {"numbers named": len(enough), "median": median, "enough": Rate.of(hits)}


def _called(found: dict[str, Any]) -> dict[str, Rate]:
    return {name: Rate.of(signs != 0) for name, (signs, _) in found.items()}


def main(options: Options) -> None:
    """Simulate, and print the tables."""
    started = time.perf_counter()
    parts: dict[str, Rows] = {}
    for measure in (alarms, power, drift, worst, forecasts):
        name = measure.__name__
        parts[name] = measure(options)
        print(f"{TITLES[name]}\n\n{table(parts[name])}\n", flush=True)
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "compare_rollout_tests", options.seed, seconds, calibration=parts)


if __name__ == "__main__":
    run_script(main, Options)
