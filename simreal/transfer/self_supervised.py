r"""Self-supervised: the robot itself knows what its camera should show, without anybody's labels.

What the encoder makes of the image alone (`perceive`, before proprioception joins) is asked for something
that the robot measures, on source and target frames with one small head :math:`g`. The head was right on
the source's images, so on the target's it is the encoder that has to move. Meanwhile the policy goes on
giving the source policy's answers :math:`\pi_S` on source frames: no label of either domain is used.
"""

import copy
import dataclasses

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from policies import Policy
from simreal.data.batch import Batch, concatenate, unlabelled
from simreal.errors import SimrealError
from simreal.learning import Seen, Term
from simreal.transfer.base import BATCH_SIZE, Method, Problem, Report
from simreal.transfer.loop import Draw, fit_drawn, frames_of, source_of

_RATE = 5e-4


def proprio(problem: Problem, report: Report, weight: float = 1.0) -> Policy:
    r"""Ask the encoder where the gripper is.

    .. math:: \min_{f, h, g} E_S \| h(f(o)) - \pi_S(o) \|^2
              + \lambda \, E_{S \cup T} \| g(p(o)) - x \|^2

    with perception :math:`p(o)` (B, P), and the gripper's position :math:`x` (B, 3) from proprioception,
    normalized. Exists for shifts that hide the robot in the image as they do the rest, such as low contrast;
    it needs an encoder that sees both with the same eyes. Cf. Jeong et al. 2020, arXiv:1910.09471.
    """
    frames = frames_of(problem)
    if frames.images_only:
        raise SimrealError("the frames are images alone: method 'proprio' needs the gripper's position too")
    _check_sighted(problem.policy)
    columns = list(problem.gripper or range(frames.proprio.shape[1]))
    position = frames.proprio[:, columns]
    mean = torch.from_numpy(position.mean(axis=0))
    scale = torch.from_numpy(np.maximum(position.std(axis=0), 1e-3))
    torch.manual_seed(problem.seed)
    head = _head(problem.policy.encoder.perception_size, len(columns))

    def term(seen: Seen) -> Tensor:
        label = (seen.batch.observation["proprio"][:, columns] - mean) / scale
        return weight * functional.mse_loss(head(seen.perception), label)

    return fit_drawn(problem, report, _own_answers(problem), _RATE, [term], [head])


def inverse_dynamics(problem: Problem, report: Report, weight: float = 1.0) -> Policy:
    r"""Ask the encoder what was done between two frames.

    .. math:: \min_{f, h, g} E_S \| h(f(o)) - \pi_S(o) \|^2
              + \lambda \, E_{S \cup T} \| g(p(o_t), p(o_{t+1})) - a_t \|^2

    with the executed action :math:`a_t` (B, A), right or wrong. Exists for the same shifts as `proprio`, on
    robots whose pose nobody trusts: it needs only what was commanded. `online.OnlineAdapter` goes on
    with it during deployment. Policy adaptation during deployment, Hansen et al. 2021, arXiv:2007.04309.
    """
    policy, _ = learn_inverse_dynamics(problem, report, weight)
    return policy


def learn_inverse_dynamics(problem: Problem, report: Report, weight: float = 1.0) -> tuple[Policy, nn.Module]:
    """Return the policy and the head :math:`g`, (B, 2 P) to (B, A); without frames, from the source alone."""
    _check_sighted(problem.policy)
    torch.manual_seed(problem.seed)
    head = _head(2 * problem.policy.encoder.perception_size, problem.policy.config.action_size)
    policy = fit_drawn(problem, report, _pairs(problem), _RATE, [inverse_dynamics_term(head, weight)], [head])
    return policy, head


def inverse_dynamics_term(head: nn.Module, weight: float) -> Term:
    """Return the loss on batches whose second half holds the frames that follow the first half's."""

    def term(seen: Seen) -> Tensor:
        half = len(seen.batch) // 2
        both = torch.cat([seen.perception[:half], seen.perception[half:]], dim=1)
        return weight * functional.mse_loss(head(both), seen.batch.auxiliary["executed"][:half])

    return term


def _own_answers(problem: Problem) -> Draw:
    """Draw source frames with the source policy's answers, then as many frames of the target."""
    source, frames, policy = source_of(problem), frames_of(problem), copy.deepcopy(problem.policy)

    def draw(rng: np.random.Generator) -> Batch:
        batch = answered(policy, source.batch(rng, BATCH_SIZE))
        return concatenate(batch, unlabelled(frames.batch(rng, BATCH_SIZE)))

    return draw


def _pairs(problem: Problem) -> Draw:
    """Draw pairs of successive frames: first all firsts, of source and target, then what follows them."""
    source, frames, policy = source_of(problem), problem.frames, copy.deepcopy(problem.policy)

    def draw(rng: np.random.Generator) -> Batch:
        count = BATCH_SIZE // 2
        firsts, following = (answered(policy, side) for side in source.pairs(rng, count))
        if frames is not None:
            first, second = frames.pairs(rng, count)
            known = dataclasses.replace(unlabelled(first), auxiliary=first.auxiliary)
            firsts = concatenate(firsts, known)
            following = concatenate(following, unlabelled(second))
        return concatenate(firsts, following)

    return draw


def answered(policy: Policy, batch: Batch) -> Batch:
    """Return the batch with a policy's answers for actions, and no labels but what was executed."""
    with torch.inference_mode():
        action = policy(batch.observation)
    executed = {name: label for name, label in batch.auxiliary.items() if name == "executed"}
    return dataclasses.replace(batch, action=action.clone(), auxiliary=executed)


def _head(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, outputs))


def _check_sighted(policy: Policy) -> None:
    if policy.encoder.perception_size == 0:
        raise SimrealError("this policy sees no image: there is no perception to adapt")


METHODS_OF_FAMILY = (
    Method(
        "inverse-dynamics", "self-supervised", "unsupervised", ("source data", "unlabelled frames"),
        "encoder and head", "Hansen et al. 2021, arXiv:2007.04309", inverse_dynamics,
    ),
    Method(
        "proprio", "self-supervised", "unsupervised", ("source data", "unlabelled frames"),
        "encoder and head", "cf. Jeong et al. 2020, arXiv:1910.09471", proprio,
    ),
)  # fmt: skip
