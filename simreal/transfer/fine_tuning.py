"""Fine-tuning: gradient steps on a few demonstrations of the target, from the source weights."""

import dataclasses

import numpy as np

from policies import Policy
from simreal.data.batch import concatenate
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner
from simreal.transfer.base import Method, Problem, Report

# Share of the updates before source frames join: of 0, 1/3 and 2/3 the best on tuning seeds.
_ALONE = 2 / 3
BATCH_SIZE = 64  # target frames in every update, for every method and for target-only


def finetune(problem: Problem, report: Report) -> Policy:
    r"""Minimize the imitation loss on the demonstrations, over encoder and head.

    .. math:: \min_{\theta, \phi} E_{(o, a) \sim D_T} \| h_\phi(f_\theta(o)) - a \|^2

    with :math:`o` an image (B, H, W, 3) and proprioception (B, P), :math:`a` (B, A), starting from
    the source weights. Exists for shifts of perception that a few demonstrations show.
    Yosinski et al. 2014, arXiv:1411.1792.
    """
    policy = problem.copy_of_policy()
    learner = Learner(policy, LearnConfig(problem.updates, 2e-4))
    return _fit_to_target(learner, _demonstrations(problem), problem.generator(), report)


def head_only(problem: Problem, report: Report) -> Policy:
    r"""Minimize the same loss over the head alone; every encoder weight stays as it is, bit for bit.

    .. math:: \min_\phi E_{(o, a) \sim D_T} \| h_\phi(f_{\theta_S}(o)) - a \|^2

    Exists for shifts of what an action does, such as its scale, where the features still hold.
    Kumar et al. 2022, arXiv:2202.10054 (linear probing).
    """
    policy = problem.copy_of_policy()
    config = LearnConfig(problem.updates, 1e-3)
    learner = Learner(policy, config, trainable=policy.head.parameters())
    return _fit_to_target(learner, _demonstrations(problem), problem.generator(), report)


def cotrain(problem: Problem, report: Report) -> Policy:
    r"""Fine-tune on the target, then go on with one source frame to eight of the target.

    .. math:: \min_{\theta, \phi} \frac{8}{9} E_{D_T} \| h(f(o)) - a \|^2
              + \frac{1}{9} E_{D_S} \| h(f(o)) - a \|^2

    in the last third of the updates; before, :math:`D_T` alone. Source frames take a fresh appearance
    each time. The source keeps the policy from forgetting what ten demonstrations do not show. Given
    from the start, or in equal parts, it holds the policy to the source's camera instead: the few
    target frames are then learned as exceptions. Exists for shifts of the camera and of appearance
    where the source must not be forgotten. Maddukuri et al. 2025, arXiv:2503.24361.
    """
    policy = problem.copy_of_policy()
    learner = Learner(policy, LearnConfig(problem.updates, 5e-4))
    demonstrations, rng = _demonstrations(problem), problem.generator()
    assert problem.source is not None  # declared as needed
    alone = round(_ALONE * learner.config.updates)
    for update in range(learner.config.updates):
        batch = demonstrations.batch(rng, BATCH_SIZE)
        if update >= alone:
            # Without its goal positions: asked for, they too hold the features to the source's camera.
            source = problem.source.batch(rng, BATCH_SIZE // 8)
            batch = concatenate(batch, dataclasses.replace(source, auxiliary={}))
        report(learner.update(batch))
    return learner.averaged()


def _demonstrations(problem: Problem) -> TargetData:
    assert problem.demonstrations is not None  # declared as needed
    return problem.demonstrations


def _fit_to_target(learner: Learner, data: TargetData, rng: np.random.Generator, report: Report) -> Policy:
    for _ in range(learner.config.updates):
        report(learner.update(data.batch(rng, BATCH_SIZE)))
    return learner.averaged()


METHODS_OF_FAMILY = (
    Method(
        "head-only", "fine-tuning", "inductive", ("demonstrations",), "head",
        "Kumar et al. 2022, arXiv:2202.10054", head_only,
    ),
    Method(
        "finetune", "fine-tuning", "inductive", ("demonstrations",), "encoder and head",
        "Yosinski et al. 2014, arXiv:1411.1792", finetune,
    ),
    Method(
        "cotrain", "fine-tuning", "inductive", ("demonstrations", "source data"),
        "encoder and head", "Maddukuri et al. 2025, arXiv:2503.24361", cotrain,
    ),
)  # fmt: skip
