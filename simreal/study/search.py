"""A search that can be killed at any moment: started again, it goes on, and comes to the same.

Trials are kept in a journal file. One that is below the median of the others at a stage is stopped there.
Settings are drawn by Optuna's estimator of good and bad regions (Akiba et al. 2019, arXiv:1907.10902;
Bergstra et al. 2011, NIPS 24).
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.extras import extra

STARTUP = 5  # trials drawn at random, none of them stopped
Score = Callable[[Mapping[str, float], int], float]
"""Of settings at a stage, counted from 0; more is better."""


@dataclass(frozen=True)
class Setting:
    """A number to search, by its logarithm."""

    name: str
    default: float
    low: float
    high: float
    whole: bool


@dataclass(frozen=True)
class Trial:
    """One choice of settings."""

    settings: dict[str, float]
    scores: list[float]
    """Mean over the stages so far, after each."""
    stopped: bool
    """Before its last stage."""


def search(
    name: str, space: Sequence[Setting], score: Score, stages: int, trials: int, path: Path, seed: int
) -> list[Trial]:
    """Return trials, as many as wanted, the defaults first; those that the journal has are not made again.

    Args:
        name: Of the search: one journal may hold several.
        space: What to search.
        score: Of settings at a stage; the same answer each time.
        stages: Looks at a trial.
        trials: How many, stopped ones included.
        path: The journal.
        seed: Of what is drawn.
    """
    optuna = extra("optuna", "tuning", "search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    _mend(path)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
    )
    states = optuna.trial.TrialState
    for killed in study.get_trials(states=(states.RUNNING,)):
        study.tell(killed.number, state=states.FAIL)
    while (done := len(_ended(study, states))) < trials:
        # Drawn from what is done alone: a search that was killed goes on as it would have.
        study.sampler = optuna.samplers.TPESampler(seed=seed + done, n_startup_trials=STARTUP)
        if not done and not study.get_trials(states=(states.WAITING,)):
            study.enqueue_trial({each.name: each.default for each in space})
        trial = study.ask()
        _carry_out(study, trial, {each.name: _drawn(trial, each) for each in space}, score, stages, states)
    return [
        Trial(dict(each.params), list(each.intermediate_values.values()), each.state == states.PRUNED)
        for each in _ended(study, states)[:trials]
    ]


def _mend(path: Path) -> None:
    """Cut off a line of the journal that was being written when its writer was killed: it is refused else."""
    if path.is_file():
        written = path.read_bytes()
        if not written.endswith(b"\n"):
            os.truncate(path, written.rfind(b"\n") + 1)


def _carry_out(
    study: Any, trial: Any, settings: Mapping[str, float], score: Score, stages: int, states: Any
) -> None:
    """Score a trial stage by stage, until it is done or stopped."""
    found: list[float] = []
    for stage in range(stages):
        found.append(score(settings, stage))
        trial.report(float(np.mean(found)), stage)
        if stage + 1 < stages and trial.should_prune():
            study.tell(trial, state=states.PRUNED)
            return
    study.tell(trial, float(np.mean(found)))


def _ended(study: Any, states: Any) -> list[Any]:
    return study.get_trials(states=(states.COMPLETE, states.PRUNED))  # type: ignore[no-any-return]


def _drawn(trial: Any, each: Setting) -> float:
    if each.whole:
        return int(trial.suggest_int(each.name, int(each.low), int(each.high), log=True))
    return float(trial.suggest_float(each.name, each.low, each.high, log=True))
