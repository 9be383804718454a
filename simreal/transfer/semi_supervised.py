"""Semi-supervised: a few demonstrations tell what is right, many unlabelled frames what there is to see.

Both fine-tune on the demonstrations as `finetune` does, and use the frames of the target twice over.
Neither can know what no demonstration and no source frame shows: they spread what the policy says
already, right or wrong.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from policies import Policy
from simreal.data.batch import Batch, concatenate, unlabelled
from simreal.data.target import TargetData
from simreal.images import convolve, draw_convolutions
from simreal.learning import Learner, Seen
from simreal.transfer.base import BATCH_SIZE, Method, Problem, Report
from simreal.transfer.loop import fit_drawn, frames_of

_RATE = 2e-4
_VIEWS = 4  # jittered views of a frame whose answers must agree
_KEPT = 0.7  # share of the frames, those with the best agreement, that get a pseudo-label


def consistency(problem: Problem, report: Report, weight: float = 1.0) -> Policy:
    r"""Give the same answer to a frame and to a strongly changed copy of it.

    .. math:: \min_{f, h} E_{D_T} \| h(f(o)) - a \|^2
              + \lambda \, E_U \| h(f(c(o))) - \mathrm{sg}\, h(f(o)) \|^2

    with actions :math:`a` (B, A), unlabelled frames :math:`U` (B, H, W, 3), and :math:`c` a random
    convolution (`images.convolve`). Exists for a target whose light and colours vary more than a few
    demonstrations show, such as its contrast. Unsupervised data augmentation: Xie et al. 2020,
    arXiv:1904.12848.
    """
    demonstrations, frames = problem.demonstrated(), frames_of(problem)

    def draw(rng: np.random.Generator) -> Batch:
        frame = unlabelled(frames.batch(rng, BATCH_SIZE // 2))
        return concatenate(demonstrations.batch(rng, BATCH_SIZE), concatenate(frame, changed(frame, rng)))

    def term(seen: Seen) -> Tensor:
        unknown = ~seen.batch.action.isfinite().all(dim=1)
        plain, strong = seen.policy.head(seen.feature[unknown]).chunk(2)
        return weight * functional.mse_loss(strong, plain.detach())

    return fit_drawn(problem, report, draw, _RATE, [term])


def pseudo_label(problem: Problem, report: Report, kept: float = _KEPT) -> Policy:
    r"""Fine-tune, label the frames on whose views the policy agrees with itself, and learn those too.

    .. math:: \min_{f, h} E_{D_T} \| h(f(o)) - a \|^2 + E_{\hat U} \| h(f(c(o))) - \hat a(o) \|^2,
              \quad \hat a(o) = \tfrac{1}{V} \sum_v \hat\pi(o_v)

    in the second half of the updates, with actions :math:`a` (B, A), :math:`\hat\pi` the policy after the
    first half, jittered views :math:`o_v` (B, H, W, 3), :math:`c` a random convolution, and
    :math:`\hat U` the share `kept` of the frames with the least variance over views. Exists for a target
    of which the demonstrations show a part, such as the mild end of a drift. Lee 2013, ICML workshop on
    challenges in representation learning; cf. Kumar et al. 2020, arXiv:2002.11361.
    """
    demonstrations, frames = problem.demonstrated(), frames_of(problem)
    learner = Learner(problem.copy_of_policy(), problem.learning(_RATE))
    rng, half = problem.generator(), problem.updates // 2
    for _ in range(half):
        report(learner.update(demonstrations.batch(rng, BATCH_SIZE)))
    labelled = self_labelled(learner.averaged(), frames, rng, kept)
    for _ in range(problem.updates - half):
        batch = demonstrations.batch(rng, BATCH_SIZE)
        if len(labelled):
            batch = concatenate(batch, changed(labelled.batch(rng, BATCH_SIZE), rng))
        report(learner.update(batch))
    return learner.averaged()


def self_labelled(policy: Policy, frames: TargetData, rng: np.random.Generator, kept: float) -> TargetData:
    """Return the share `kept` of the frames with the best agreement between views, labelled by their mean."""
    every = np.arange(len(frames))
    answers = np.stack([_answers(policy, frames, every, rng) for _ in range(_VIEWS)])
    disagreement = answers.var(axis=0).mean(axis=1)
    best = np.sort(np.argsort(disagreement, kind="stable")[: round(kept * len(frames))])
    return dataclasses.replace(frames, actions=answers.mean(axis=0).astype(np.float32)).chosen(best)


def changed(batch: Batch, rng: np.random.Generator) -> Batch:
    """Return the batch with strongly changed images: shapes stay, colours and texture do not."""
    images = batch.observation["image"]
    drawn = draw_convolutions(rng, len(images), images.shape[-1])
    observation = batch.observation | {"image": convolve(images, drawn)}
    return dataclasses.replace(batch, observation=observation)


def _answers(
    policy: Policy, frames: TargetData, indices: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    with torch.inference_mode():
        parts = [
            policy.head.bounded(policy(frames.at(part, rng).observation)).numpy()
            for part in np.array_split(indices, -(-len(indices) // 256))
        ]
    return np.concatenate(parts)


METHODS_OF_FAMILY = (
    Method(
        "pseudo-label", "semi-supervised", "semi-supervised", ("demonstrations", "unlabelled frames"),
        "encoder and head", "Lee 2013, ICML workshop", pseudo_label,
    ),
    Method(
        "consistency", "semi-supervised", "semi-supervised", ("demonstrations", "unlabelled frames"),
        "encoder and head", "Xie et al. 2020, arXiv:1904.12848", consistency,
    ),
)  # fmt: skip
