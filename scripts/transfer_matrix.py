"""Every transfer method on the suite, in stages: python scripts/transfer_matrix.py --run runs/train.

screen: every method on eight domains with tuning seeds; what is confirmed is chosen from it, and only here.
oracle: which domains can be solved at all, by 300 demonstrations and four times the updates.
confirm: the two best inductive methods and the best without labels, on the whole suite with fresh seeds.
curves: the best method and target-only over the number of demonstrations, and the method over severities.

Results go into one parquet file as they come; started again, it goes on. The tables are printed at the end.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matrix_tables

import envs
from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.finished import Finished
from simreal.check.target_only import Tuned
from simreal.errors import SimrealError
from simreal.exits import run_script
from simreal.results import write_result
from simreal.study import Cell, Source, Table, cell, compute, tune_target_only
from simreal.targets import Target, parse_target
from simreal.transfer import METHODS, UPDATES

SCREENED = (
    *("camera-tilt@3", "field-of-view@3", "hue-shift@3", "glare@3"),
    *("blur@3", "proprio-bias@3", "sluggish-joints@3", "workshop@3"),
)
CURVED = ("camera-tilt@3", "glare@3", "hue-shift@3", "proprio-bias@3", "sluggish-joints@3", "workshop@3")
METHOD_DEMOS, TARGET_ONLY_DEMOS = (1, 3, 10, 30), (10, 30, 100, 300)
TUNING_RUN, TEST_RUN = 900, 700  # runs of seeds that nothing else uses
DEMOS, FRAMES, STEPS = 10, 500, 2000
ORACLE = "finetune"
ORACLE_DEMOS, ORACLE_UPDATES = 300, 4 * UPDATES
Stage = tuple[Cell, ...]


@dataclass
class Options:
    """What to compute."""

    run: Path = Path("runs/train")
    """A pretraining run."""
    table: Path = Path("docs/transfer_matrix.parquet")
    """Where results are kept."""
    stages: tuple[str, ...] = ("screen", "oracle", "confirm", "curves")
    minutes: float | None = None
    """After which no further cell is begun."""
    methods: tuple[str, ...] = tuple(METHODS)
    """That are screened."""
    domains: tuple[str, ...] = SCREENED
    """That they are screened on."""
    screen_seeds: int = 3
    confirm_seeds: int = 10
    curve_seeds: int = 6
    episodes: int = 50
    """Of each cell."""
    updates: int = UPDATES
    pictures: Path | None = None
    """Folder for screen.png, gains over zero-shot, and curves.png, success over demonstrations."""
    json: Path | None = None
    """Write the result there as JSON."""


@dataclass
class Matrix:
    """The stages over one source, and the table that they fill."""

    options: Options
    source: Source
    table: Table

    def target(self, name: str) -> Target:
        """Return a domain of the source's environment."""
        return parse_target(name, self.source.env_id)

    def cells(self, names: tuple[str, ...], candidates: tuple[str, ...], run: int, seeds: int) -> Stage:
        """Return every combination at the budgets of a setting; target-only as it is tuned."""
        return tuple(
            self.one(name, candidate, run, seed)
            for candidate in candidates
            for seed in range(seeds)
            for name in names
        )

    def one(self, name: str, candidate: str, run: int, seed: int, demos: int = DEMOS) -> Cell:
        """Return a cell at the budgets of its setting."""
        sizes: dict[str, object] = {"updates": self.options.updates, "episodes": self.options.episodes}
        if candidate == TARGET_ONLY:
            tuned = self.tuned(demos)
            sizes |= {"updates": tuned.updates, "learning_rate": tuned.learning_rate}
        budget = {"demos": demos, "frames": FRAMES, "steps": STEPS}
        return cell(self.target(name), candidate, run, seed, **budget, **sizes)

    def tuned(self, demos: int) -> Tuned:
        """Return target-only's settings for a budget, settled once on `workshop` with a tuning seed."""
        settled = Finished(self.table.path.with_name("target_only.json"), self.source.sha256, resume=True)
        name = f"{demos} demonstrations"
        if settled.get(name) is None:
            most = 5 * self.options.updates
            target = self.target("workshop@3")
            settled.keep(name, tune_target_only(self.source, target, demos, TUNING_RUN, most))
        return Tuned(**settled.get(name))

    def screen(self) -> Stage:
        """Return the cells of every method on tuning seeds."""
        candidates = (ZERO_SHOT, *self.options.methods)
        return self.cells(self.options.domains, candidates, TUNING_RUN, self.options.screen_seeds)

    def oracle(self) -> Stage:
        """Return the cells that tell which domains can be solved."""
        sizes = {
            "demos": ORACLE_DEMOS,
            "updates": 4 * self.options.updates,
            "episodes": self.options.episodes,
        }
        return tuple(cell(self.target(name), ORACLE, TUNING_RUN, 0, **sizes) for name in self.suite())

    def confirm(self) -> Stage:
        """Return the cells of what was chosen, on fresh seeds."""
        chosen = matrix_tables.choose(self.table.rows(self.source, self.screen()))
        candidates = (ZERO_SHOT, *chosen, TARGET_ONLY)
        cells = self.cells(self.suite(), candidates, TEST_RUN, self.options.confirm_seeds)
        # Seed by seed: what an interruption leaves is the whole comparison on fewer seeds.
        return tuple(sorted(cells, key=lambda each: each.seed))

    def curves(self) -> Stage:
        """Return the cells of the best method and of target-only over budgets, and over severities."""
        best = matrix_tables.choose(self.table.rows(self.source, self.screen()))[0]
        budgets = [(best, demos) for demos in METHOD_DEMOS] + [
            (TARGET_ONLY, demos) for demos in TARGET_ONLY_DEMOS
        ]
        curved = tuple(name for name in CURVED if name in self.options.domains)
        seeds = range(self.options.curve_seeds)
        by_demos = [
            self.one(name, candidate, TEST_RUN, seed, demos)
            for candidate, demos in budgets
            for name in curved
            for seed in seeds
        ]
        by_severity = [
            self.one(name.replace("@3", f"@{severity}"), candidate, TEST_RUN, seed)
            for candidate, severities in ((ZERO_SHOT, (1, 3, 5)), (best, (1, 5)))  # it has 3 above
            for severity in severities
            for name in curved
            for seed in seeds
        ]
        return (*by_demos, *by_severity)

    def suite(self) -> tuple[str, ...]:
        """Return every domain at severity 3; of a smaller screen, its domains."""
        if self.options.domains != SCREENED:
            return self.options.domains
        return tuple(domain.label for domain in envs.suite(3))


def main(options: Options) -> None:
    """Compute the stages in order, and print the tables of what is there."""
    started = time.perf_counter()
    source = Source.of_run(options.run)
    matrix = Matrix(options, source, Table(options.table))
    stages: dict[str, Callable[[], Stage]] = {
        name: getattr(matrix, name) for name in ("screen", "oracle", "confirm", "curves")
    }
    counted = {}
    for name in options.stages:
        cells = list(stages[name]())
        left = None if options.minutes is None else options.minutes - (time.perf_counter() - started) / 60
        computed = compute(name, source, cells, matrix.table, left)
        rows = matrix.table.rows(source, cells)
        counted[name] = {"cells": len(cells), "computed": len(rows), "refused": len(computed.refused)}
        print("\n".join([*matrix_tables.TABLES[name](rows), *matrix_tables.refusals(computed.refused)]))
        if options.pictures and rows and name in matrix_tables.PICTURES:
            options.pictures.mkdir(parents=True, exist_ok=True)
            (options.pictures / f"{name}.png").write_bytes(matrix_tables.PICTURES[name](rows))
        if computed.failed:
            each, reason = computed.failed[0]
            raise SimrealError(f"{each.candidate} on {each.target.label}, seed {each.seed}: {reason}")
        if computed.left:
            print(f"{name}: {len(rows)} of {len(cells)} cells; started again, it goes on")
            break
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "transfer_matrix", 0, seconds, matrix=counted)


if __name__ == "__main__":
    run_script(main, Options)
