"""The baseline that counts: a policy trained on the target alone, and trained properly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from policies import Policy, PolicyConfig
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner
from simreal.seeds import Purpose, seed_for
from simreal.transfer.fine_tuning import BATCH_SIZE

LEARNING_RATES = (3e-4, 1e-3, 3e-3)
_SPLITS = 2  # of the demonstrations, when there are no others to tune on
TRAININGS = _SPLITS * len(LEARNING_RATES) + 1  # of `tuned`
_HELD_OUT = 0.2  # of the demonstrations, when tuning
_LOOK_EVERY = 50
_PATIENCE = 4  # looks without a better held-out loss: converged


@dataclass(frozen=True)
class Tuned:
    """Settings of target-only, chosen on tuning seeds alone."""

    learning_rate: float
    updates: int
    held_out_loss: float


def train(config: PolicyConfig, data: TargetData, learning_rate: float, updates: int, seed: int) -> Policy:
    """Train from nothing on the demonstrations: same architecture, same batches, same loss."""
    learner = _fresh(config, data, learning_rate, updates, seed)
    rng = np.random.default_rng(seed)
    for _ in range(updates):
        learner.update(data.batch(rng, BATCH_SIZE))
    return learner.averaged()


def converge(config: PolicyConfig, data: TargetData, learning_rate: float, most: int, seed: int) -> Tuned:
    """Train until the loss on held-out demonstrations no longer falls.

    Whole demonstrations are held out: neighbouring frames of one would tell the answer. Of a single one
    its last frames are.
    """
    rng = np.random.default_rng(seed)
    fitted, checked = parted(data, rng)
    learner = _fresh(config, fitted, learning_rate, most, seed)
    best, best_at, looks = float("inf"), 0, 0
    while learner.done < most and looks < _PATIENCE:
        for _ in range(min(_LOOK_EVERY, most - learner.done)):
            learner.update(fitted.batch(rng, BATCH_SIZE))
        now = loss(learner.averaged(), checked)
        looks = 0 if now < 0.99 * best else looks + 1
        if now < best:
            best, best_at = now, learner.done
    # Where it had converged, not the luckiest look: more updates never starve the baseline.
    return Tuned(learning_rate, max(best_at, learner.done), best)


def choose(trials: list[Tuned]) -> Tuned:
    """Return the learning rate with the lowest mean held-out loss, and its mean number of updates."""
    rates = sorted({trial.learning_rate for trial in trials})
    by_rate = {rate: [t for t in trials if t.learning_rate == rate] for rate in rates}
    best = min(rates, key=lambda rate: float(np.mean([t.held_out_loss for t in by_rate[rate]])))
    chosen = by_rate[best]
    updates = round(float(np.mean([trial.updates for trial in chosen])))
    return Tuned(best, updates, float(np.mean([trial.held_out_loss for trial in chosen])))


def tuned(
    config: PolicyConfig,
    data: TargetData,
    most: int,
    run_seed: int,
    report: Callable[[int], None] = lambda trainings: None,
) -> tuple[Policy, Tuned]:
    """Choose the settings on parts of the demonstrations, then train on all of them.

    Where there are no demonstrations but these: twice a part is held out, at random.

    Args:
        config: Architecture.
        data: The demonstrations.
        most: Most updates of a training.
        run_seed: Of all of it.
        report: Told of each training that is done, `TRAININGS` in all.
    """
    trials = []
    for split in range(_SPLITS):
        for rate in LEARNING_RATES:
            trials.append(converge(config, data, rate, most, seed_for(Purpose.TUNING, run_seed, split)))
            report(1)
    chosen = choose(trials)
    seed = seed_for(Purpose.TRAINING, run_seed)
    policy = train(config, data, chosen.learning_rate, chosen.updates, seed)
    report(1)
    return policy, chosen


def parted(data: TargetData, rng: np.random.Generator) -> tuple[TargetData, TargetData]:
    """Return demonstrations to fit, and others to check it on."""
    if data.demonstrations == 1:
        first = min(len(data) - 1, round((1 - _HELD_OUT) * len(data)))
        return data.chosen(np.arange(max(1, first))), data.chosen(np.arange(first, len(data)))
    held = max(1, round(_HELD_OUT * data.demonstrations))
    order = rng.permutation(data.demonstrations)
    return data.only(order[held:]), data.only(order[:held])


def _fresh(config: PolicyConfig, data: TargetData, learning_rate: float, updates: int, seed: int) -> Learner:
    torch.manual_seed(seed)
    policy = Policy(config)
    policy.encoder.normalizer.set_statistics(data.proprio.mean(axis=0), data.proprio.std(axis=0))
    return Learner(policy, LearnConfig(updates, learning_rate))


def loss(policy: Policy, data: TargetData) -> float:
    """Return the mean squared error of a policy's actions."""
    with torch.inference_mode():
        squares = [(policy(part.observation) - part.action).square() for part in data.parts()]
    return float(torch.cat(squares).mean())
