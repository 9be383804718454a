"""What transferability scores are worth: python scripts/transferability.py --run runs/train.

The scores of a source in every domain of a study's table are taken on the demonstrations that its methods
had, before they adapt; then Kendall's tau tells how well each orders the domains by what was gained, beside
a ranking that looks at nothing. Given several runs, it also asks which source the scores would have chosen on
each target, and what that loses to the best choice. What is computed is kept; started again, it goes on.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transferability_tables as tables

from simreal import workers
from simreal.check.candidates import TARGET_ONLY, demonstrations
from simreal.check.finished import Finished
from simreal.check.rank_agreement import Agreement, judge
from simreal.check.scores import Scores, score
from simreal.check.source_selection import best_fixed, regret, select
from simreal.check.target_only import Tuned
from simreal.check.transfer_metrics import Estimate
from simreal.check.trials import FOLDS, METHOD, Trials, run_trials
from simreal.data.source import SourceData
from simreal.errors import SimrealError
from simreal.evaluate import episode_seeds, pack, run_episodes
from simreal.exits import run_script
from simreal.progress import progress, say
from simreal.results import write_result
from simreal.seeds import Purpose
from simreal.study import Cell, Source, Table, cell, compute, shared_of, tune_target_only
from simreal.targets import Target, parse_target
from simreal.transfer import UPDATES, SourceAccess

TUNING_RUN = 900  # of the screen in scripts/transfer_matrix.py
SELECTION_RUN = 800  # of seeds that nothing else uses
TARGETS = (
    *("camera-tilt@3", "field-of-view@3", "hue-shift@3"),
    *("blur@3", "proprio-bias@3", "workshop@3"),
)


@dataclass
class Options:
    """Which runs, which table, and how much evidence to gather."""

    run: tuple[Path, ...] = (Path("runs/train"),)
    """Pretraining runs; the first is the one that the table is of, and its teacher demonstrates for all."""
    table: Path = Path("docs/transfer_matrix.parquet")
    """Cells of a study; it is read, never written."""
    run_seed: int = TUNING_RUN
    """Which of the table's cells: 900 are the screen's, 700 the confirmation's."""
    methods: tuple[str, ...] = ("finetune", "color-match")
    """Whose gains are predicted, over the domains that all of them have."""
    demos: int = 10
    score_seeds: int = 3
    """Of the table's seeds: on their demonstrations the scores are taken. Gains are means over all."""
    rollouts: int = 30
    """Of the source policy, in each domain and with each seed; no cell of the table has them."""
    targets: tuple[str, ...] = TARGETS
    """Where to choose a source, given several runs."""
    seeds: int = 2
    """Of every success there."""
    episodes: int = 50
    """Of every success and seed there."""
    updates: int = UPDATES
    tuning_updates: int = 1200
    """Most updates of target-only."""
    folds: int = FOLDS
    """Parts of the demonstrations that are held out by turns."""
    out: Path = Path("runs/transferability")
    """Where results are kept."""
    json: Path | None = None
    """Write the result there as JSON."""


def main(options: Options) -> None:
    """Score, judge the scores, and choose sources."""
    started = time.perf_counter()
    first = options.run[0]
    sources = [Source.of_run(path, first) for path in options.run]
    if len({source.name for source in sources}) < len(sources):
        raise SimrealError("--run: two runs have folders of one name, and results go by it")
    rows = tables.rows_of(options.table, sources[0], options.run_seed, options.demos)
    labels = tables.domains_of(rows, options.methods)
    targets = tuple(parse_target(name, sources[0].env_id).label for name in options.targets)
    options = dataclasses.replace(options, targets=targets)
    kept = [_kept(source, options) for source in sources]
    seeds = sorted({row["seed"] for row in rows})[: options.score_seeds]
    scores = _scores(sources[0], kept[0], tuple(labels), options.run_seed, seeds, options)
    found = _agreements(scores, rows, labels, options)
    print("\n".join([*tables.scored(scores), "", *tables.judged(found, len(seeds))]))
    lost: dict[str, Estimate] | None = None
    if len(sources) > 1:
        lost = _regrets(sources, kept, options)
    if options.json:
        parts = {"source": sources[0].name, "agreements": found, "scores": scores, "regret": lost,
                 "targets": len(options.targets) if lost else 0}  # fmt: skip
        seconds = time.perf_counter() - started
        write_result(options.json, "transferability", options.run_seed, seconds, transferability=parts)


def _kept(source: Source, options: Options) -> Finished:
    settings = [source.sha256, options.demos, options.rollouts]
    return Finished(options.out / f"{source.name}.json", settings, resume=True)


def _scores(
    source: Source, kept: Finished, labels: tuple[str, ...], run: int, seeds: list[int], options: Options
) -> dict[str, dict[str, float | None]]:
    """Return label -> the mean of each score over seeds; without domains that the expert cannot solve."""
    jobs = {}
    for label in labels:
        for seed in seeds:
            if kept.get(f"{label}/{run}/{seed}") is None:
                each = cell(parse_target(label, source.env_id), METHOD, run, seed, demos=options.demos)
                jobs[label, seed] = workers.submit(_scored, source, each, options.rollouts)
    refused = set()
    with progress(f"scores of {source.name}", len(jobs), "draws") as advance:
        for (label, seed), job in jobs.items():
            try:
                kept.keep(f"{label}/{run}/{seed}", job.result())
            except SimrealError as error:
                say(f"{label}: {error}")
                refused.add(label)
            advance(1)
    found: dict[str, dict[str, float | None]] = {}
    for label in labels:
        if label not in refused:
            found[label] = tables.means([Scores(**kept.get(f"{label}/{run}/{seed}")) for seed in seeds])
    return found


def _scored(source: Source, each: Cell, rollouts: int) -> Scores:
    """Score a source on the demonstrations of a cell, and on rollouts of its own, in a worker."""
    data = demonstrations(shared_of(source, each), each.seed, Purpose.DEMONSTRATION)
    access = SourceAccess(SourceData.open(source.data), source.domain)
    # Not the episodes by which the cells are judged: their luck would be in both.
    seeds = episode_seeds(each.run_seed * 1000 + each.seed, rollouts)
    episodes = run_episodes(pack(source.policy), each.target, seeds)
    return score(source.policy, data, access, np.random.default_rng(each.seed), episodes)


def _agreements(
    scores: dict[str, dict[str, float | None]],
    rows: list[dict[str, Any]],
    labels: dict[str, str],
    options: Options,
) -> list[Agreement]:
    """Judge every score that all domains have by every gain that all domains have."""
    domains = list(scores)
    promises = tables.promises(scores)
    static = tables.static_ranking({label: labels[label] for label in domains})
    gains = tables.gains(rows, domains, options.methods)
    return [
        item
        for name, values in gains.items()
        for item in (
            *judge(promises, values, static, name),
            *judge({tables.STATIC: static}, values, static, name),
        )
    ]


def _regrets(sources: list[Source], kept: list[Finished], options: Options) -> dict[str, Estimate]:
    """Return what each way of choosing a source loses to the oracle, and print it with the success."""
    targets = [parse_target(name, sources[0].env_id) for name in options.targets]
    scored = [
        _scores(source, own, options.targets, SELECTION_RUN, [0], options)
        for source, own in zip(sources, kept, strict=True)
    ]
    success, without = _realised(sources, kept[0], targets, options)
    choices: dict[str, list[int]] = {}
    for target in targets:
        trials, names = _trials(sources, kept[0], target, options), [source.name for source in sources]
        of_target = [tables.as_scores(own[target.label]) for own in scored]
        found = select(dict(zip(names, of_target, strict=True)), trials)
        choices.setdefault("select: held-out error, or none", []).append(
            names.index(found.chosen) if found.chosen else -1
        )
        for name, index in tables.picked(of_target, trials).items():
            choices.setdefault(name, []).append(index)
    choices["best fixed source of the other targets"] = best_fixed(success, without).tolist()
    choices |= {f"always {source.name}": [index] * len(targets) for index, source in enumerate(sources)}
    choices["always none (target-only)"] = [-1] * len(targets)
    lost = {name: regret(success, without, np.array(found)) for name, found in choices.items()}
    every = [*(source.name for source in sources), "none"]
    print("\n".join(["", *tables.realised(every, options.targets, np.vstack([success, without]))]))
    print("\n".join(["", *tables.regrets(lost, choices, every)]))
    return lost


def _realised(
    sources: list[Source], kept: Finished, targets: list[Target], options: Options
) -> tuple[Any, Any]:
    """Return success after adapting from each source (S, T), and of target-only (T,): means over seeds."""
    most = options.tuning_updates
    if kept.get(f"tuned in {most}") is None:
        workshop = parse_target("workshop@3", sources[0].env_id)
        tuned = tune_target_only(sources[0], workshop, options.demos, SELECTION_RUN, most)
        kept.keep(f"tuned in {most}", tuned)
    tuned = Tuned(**kept.get(f"tuned in {most}"))
    table = Table(options.out / "cells.parquet")
    rates = []
    for source, name in [*((source, METHOD) for source in sources), (sources[0], TARGET_ONLY)]:
        sizes: dict[str, Any] = {
            "demos": options.demos,
            "updates": options.updates,
            "episodes": options.episodes,
        }
        if name == TARGET_ONLY:
            sizes |= {"updates": tuned.updates, "learning_rate": tuned.learning_rate}
        cells = [
            [cell(target, name, SELECTION_RUN, seed, **sizes) for seed in range(options.seeds)]
            for target in targets
        ]
        computed = compute(
            f"{name} from {source.name}", source, [each for of_target in cells for each in of_target], table
        )
        for each, reason in (*computed.refused, *computed.failed):
            raise SimrealError(f"{each.candidate} on {each.target.label}, seed {each.seed}: {reason}")
        rates.append([tables.mean_success(table.rows(source, of_target)) for of_target in cells])
    return np.array(rates[:-1]), np.array(rates[-1])


def _trials(sources: list[Source], kept: Finished, target: Target, options: Options) -> Trials:
    """Return the held-out trials of all sources on the demonstrations of seed 0."""
    sizes = (options.updates, options.tuning_updates, SELECTION_RUN, options.folds)
    key = "/".join(["trials", target.label, *map(str, sizes), *(source.sha256 for source in sources)])
    if kept.get(key) is None:
        each = cell(target, METHOD, SELECTION_RUN, 0, demos=options.demos)
        data = demonstrations(shared_of(sources[0], each), 0, Purpose.DEMONSTRATION)
        packed = [pack(source.policy) for source in sources]
        found = run_trials(packed, data, *sizes)
        plain = {name: np.array(value).tolist() for name, value in dataclasses.asdict(found).items()}
        kept.keep(key, plain)
    stored = kept.get(key)
    return Trials(
        [np.array(errors) for errors in stored["sources"]],
        np.array(stored["target_only"]),
        np.array(stored["mean_action"]),
    )


if __name__ == "__main__":
    run_script(main, Options)
