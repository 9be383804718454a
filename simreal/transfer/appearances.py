"""Source frames that look as the demonstrations do: from real to simulation and back."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from envs.appearance import Appearance, noise_offsets
from envs.camera import DISTRACTOR, SEGMENT_COUNT, TABLE
from policies import Policy
from simreal.data.batch import Batch
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.transfer.base import Method, Problem, Report, SourceAccess
from simreal.transfer.fine_tuning import finetune
from simreal.transfer.looks import SURFACES, Look, looks
from simreal.transfer.source_frames import Draw, first_learner, go_on, join

_JITTER = 0.1  # of a surface's brightness; half of it of each of its channels
_ENOUGH = 0.4  # of the source's error on the demonstrations that may be left by looks alone
_EARLY, _HOPELESS = 1 / 4, 0.5  # of the updates, after which looks that leave so much are given up
_MOVE = 0.25  # most that the light of a look moves, image widths
_FEW = 5  # pixels of other things: with fewer, distractors take any colour
Array = NDArray[np.float32]
Change = Callable[[Batch, np.random.Generator], Batch]


def as_it_is(batch: Batch, rng: np.random.Generator) -> Batch:
    """Return the batch."""
    return batch


def match_appearance(problem: Problem, report: Report, *, first: float = 3.2, share: float = 1 / 4) -> Policy:
    r"""Learn from source frames that look as the demonstrations do, then from both; or fine-tune.

    .. math:: \hat c_e = \arg\max_c p(I_e \mid S(q_e, g_e), c), \quad
              \min_w E_{s, a \sim D_S, \; e} \| h(f(\hat c_e \circ s)) - a \|^2, \quad \text{then with } D_T

    with images :math:`I_e` (T, H, W, 3) of demonstration :math:`e`, and :math:`S` the segments that source
    frames show with its pose :math:`q` (T, P) and goal :math:`g`: they tell which pixel is what, so that its
    colours and its light :math:`c_e` can be read off (`looks`). The source's layers :math:`s` are then
    composed in all looks by turns, labelled as ever, for `first` times the budget's updates, of sixteen
    frames each; half of the budget's follow on demonstrations, with `share` such frames to one of theirs. If
    the looks alone leave more than two fifths of the error on the demonstrations, or half of it after a
    quarter of the updates, the shift is another, such as the camera's, which source frames would hold back:
    then all is `finetune`, from the source weights. So is it with `first` 0.

    Exists for shifts of colour and light, above all those that change from episode to episode, such as a
    channel order: ten demonstrations show each look a few times, the source can show it a thousand.
    Needs layers: the source must be a simulation. Simulation fitted to real frames as in Chebotar et al.
    2019, arXiv:1810.05687, here its appearance, and once.
    """
    policy = in_looks(problem, report, first, share)
    return finetune(problem, report) if policy is None else policy


def in_looks(
    problem: Problem,
    report: Report,
    first: float,
    share: float,
    change: Change = as_it_is,
    otherwise: Draw | None = None,
) -> Policy | None:
    """Learn from source frames in the demonstrations' looks, then from both; None if looks tell too little.

    Args:
        problem: With demonstrations, and with a source that has layers unless `first` is 0.
        report: Told of every update.
        first: Updates on source frames alone, as a multiple of the budget's; 0 for none: then it is None.
        share: Source frames to one of the demonstrations', later.
        change: What else is done to source frames.
        otherwise: Draws other source frames, for the updates that are left where looks tell too little.
    """
    if not first:
        return None
    data, source, rng = problem.demonstrated(), _layers(problem), problem.generator()
    found = looks(source, data, problem.gripper)
    before, learner = _error(problem.policy, data), first_learner(problem, first)

    def draw(rng: np.random.Generator, size: int) -> Batch:
        return change(shown(source, found, rng, size), rng)

    def explain(part: float, most: float) -> bool:
        policy = go_on(learner, round(part * learner.config.updates), draw, rng, report)
        return _error(policy, data) <= most * before

    if found and explain(_EARLY, _HOPELESS) and explain(1.0, _ENOUGH):
        otherwise = draw
    if otherwise is None:
        return None
    policy = go_on(learner, learner.config.updates, otherwise, rng, report)
    return join(problem, report, policy, otherwise, rng, share)


@torch.inference_mode()
def _error(policy: Policy, data: TargetData) -> float:
    """Return the mean square error of the actions on all demonstrations."""
    summed = [(policy(part.observation) - part.action).square().sum() for part in data.parts()]
    return float(sum(summed)) / data.actions.size


def shown(source: SourceData, found: list[Look], rng: np.random.Generator, size: int) -> Batch:
    """Draw source frames, each composed in one of the looks, about as it is."""
    indices, picked = np.sort(rng.integers(source.count, size=size)), rng.integers(len(found), size=size)
    chosen = [found[index] for index in picked]
    noise = np.array([look.noise for look in chosen]) * rng.uniform(0.5, 1.2, size)
    palette = np.stack([_palette(look, rng) for look in chosen])
    appearance = Appearance({"sensing.image_noise_std": noise}, noise_offsets(rng, size), palette)
    batch = source.shown(indices, appearance)
    images = batch.observation["image"].numpy().astype(np.float32)
    for image, look in zip(images, chosen, strict=True):
        image += 255 * _moved(look.veil, rng)
    lit = torch.from_numpy(np.clip(images + 0.5, 0, 255).astype(np.uint8))
    return dataclasses.replace(batch, observation=batch.observation | {"image": lit})


def _palette(look: Look, rng: np.random.Generator) -> Array:
    """Return a colour for every segment, (SEGMENT_COUNT, 3)."""
    table = look.surfaces[SURFACES.index(TABLE)]
    others = look.others if len(look.others) >= _FEW else rng.uniform(0, table.max(), (_FEW, 3))
    palette = np.empty((SEGMENT_COUNT, 3))
    palette[len(SURFACES) : DISTRACTOR] = table / 2
    palette[list(SURFACES)] = look.surfaces
    palette[DISTRACTOR:] = others[rng.integers(len(others), size=SEGMENT_COUNT - DISTRACTOR)]
    palette *= rng.uniform(1 - _JITTER, 1 + _JITTER, (SEGMENT_COUNT, 1))
    palette *= rng.uniform(1 - _JITTER / 2, 1 + _JITTER / 2, (SEGMENT_COUNT, 3))
    return palette.astype(np.float32)


def _moved(veil: Array, rng: np.random.Generator) -> Array:
    """Return light (H, W, 1) elsewhere: a lamp's reflex may be anywhere in the next episode."""
    reach = round(_MOVE * len(veil))
    down, across = rng.integers(-reach, reach + 1, 2)
    rows = np.clip(np.arange(veil.shape[0]) + down, 0, veil.shape[0] - 1)
    columns = np.clip(np.arange(veil.shape[1]) + across, 0, veil.shape[1] - 1)
    if rng.random() < 0.5:
        columns = columns[::-1]
    moved: Array = veil[rows[:, None], columns] * np.float32(rng.uniform(0.7, 1.5))
    return moved


def _layers(problem: Problem) -> SourceData:
    if not isinstance(problem.source, SourceAccess):
        raise SimrealError(
            "a recorded source has no layers to compose in other looks: give a simulation's run, or take "
            "match-motion"
        )
    return problem.source.data


METHODS_OF_FAMILY = (
    Method(
        "match-appearance", "pixel-level", "inductive", ("demonstrations", "source data"),
        "encoder and head", "Chebotar et al. 2019, arXiv:1810.05687", match_appearance,
    ),
)  # fmt: skip
