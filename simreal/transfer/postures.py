r"""Postures: how an arm holds its gripper where it is, when that is not as the source held it.

Where the gripper is, :math:`x` (B, 3), tells the rest of the source's proprioception :math:`q` but for a
little: :math:`q = g(x) + \epsilon`. A policy may then read either. In a target whose joint sensors are off
or noisy, or whose motors are too weak to follow, :math:`q - g(x)` is another, and what was read from
:math:`q` is wrong. :math:`g` is a polynomial that is fitted to the source.
"""

import dataclasses
import itertools

import numpy as np
import torch
from numpy.typing import NDArray

from policies import Policy
from simreal.data.batch import Batch
from simreal.data.motions import Motions
from simreal.transfer.base import Method, Problem, Report
from simreal.transfer.fine_tuning import finetune
from simreal.transfer.loop import source_of
from simreal.transfer.source_frames import Draw, first_learner, go_on, join

_DEGREE = 4
_DRAWS, _UNUSUAL = 200, 1.25  # sets of source episodes; how far above all of them is not by chance
_FEWEST = 20  # episodes of the source
Array = NDArray[np.float64]


def match_posture(problem: Problem, report: Report, *, first: float = 3.2, share: float = 1 / 4) -> Policy:
    r"""Learn from source frames whose joints deviate as the demonstrations' do, then from both; or fine-tune.

    .. math:: \min_w E_{s, a \sim D_S, \; q_T, x_T \sim D_T} \| h(f(I_s, x_s, q_s + q_T - g(x_T))) - a \|^2,
              \quad \text{then with } D_T

    with images :math:`I` (B, H, W, 3), the gripper's position :math:`x` (B, 3), all other proprioception
    :math:`q` (B, P - 3), and :math:`g` as fitted to the source (this module): `first` times the budget's
    updates, of sixteen frames each, then half of the budget's on demonstrations with `share` such frames to
    one of theirs. Where demonstrations deviate no more than as many source episodes do, or nobody knows which
    elements are the gripper's position, all is `finetune`; so is it with `first` 0. Exists for shifts of what
    the joints say, such as a bias under which the elbow wanders off: ten demonstrations show how the arm
    then looks to itself, but not that it means nothing. Randomization fitted to the target as in Chebotar et
    al. 2019, arXiv:1810.05687, here of the proprioception, and once.
    """
    draw = in_posture(problem, apart_in(problem))
    if not first or draw is None:
        return finetune(problem, report)
    learner, rng = first_learner(problem, first), problem.generator()
    policy = go_on(learner, learner.config.updates, draw, rng, report)
    return join(problem, report, policy, draw, rng, share)


def in_posture(problem: Problem, apart: Array) -> Draw | None:
    """Return what draws source frames with deviations (T, P); None without any."""
    source = source_of(problem)

    def draw(rng: np.random.Generator, size: int) -> Batch:
        return posed(source.batch(rng, size), rng, apart)

    return draw if len(apart) else None


def posed(batch: Batch, rng: np.random.Generator, apart: Array) -> Batch:
    """Add one of the deviations, if there are any, to the proprioception of each source frame."""
    if not len(apart):
        return batch
    proprio = batch.observation["proprio"]
    drawn = apart[rng.integers(len(apart), size=len(proprio))].astype(np.float32)
    moved = batch.observation | {"proprio": proprio + torch.from_numpy(drawn)}
    return dataclasses.replace(batch, observation=moved)


def apart_in(problem: Problem) -> Array:
    """Return the `deviations` of the demonstrations."""
    return deviations(source_of(problem).motions(), problem.demonstrated().motions(), problem.gripper)


def deviations(source: Motions, target: Motions, gripper: tuple[int, ...]) -> Array:
    """Return by how much demonstrations deviate from what their gripper's position tells, (T, P).

    Nothing, (0, P), if as many source episodes deviate as far, or if the gripper's position is not known.

    Args:
        source: Episodes of the source.
        target: Demonstrations.
        gripper: Which elements of the proprioception are the gripper's position.
    """
    nothing: Array = np.zeros((0, target.proprio.shape[1]))
    starts = np.append(0, np.flatnonzero(np.diff(source.episode)) + 1)
    if not 0 < len(gripper) < target.proprio.shape[1] or len(starts) < _FEWEST:
        return nothing
    fitted = _Fitted(source.proprio, gripper)
    apart, episodes = fitted.apart(target.proprio), len(np.unique(target.episode))
    usual = fitted.size(fitted.apart(source.proprio))
    sizes = np.add.reduceat(usual, starts) / np.diff(np.append(starts, len(usual)))
    draws = np.random.default_rng(0).integers(len(sizes), size=(_DRAWS, episodes))
    most = sizes[draws].mean(axis=1).max()
    return apart if fitted.size(apart).mean() > _UNUSUAL**2 * most else nothing


class _Fitted:
    """What the gripper's position tells of all else, by a polynomial."""

    def __init__(self, proprio: NDArray[np.float32], gripper: tuple[int, ...]) -> None:
        self._gripper = list(gripper)
        place = proprio[:, self._gripper].astype(np.float64)
        self._mean, self._std = place.mean(axis=0), place.std(axis=0) + 1e-9
        self._low, self._high = place.min(axis=0), place.max(axis=0)
        self._weights = np.linalg.lstsq(self._terms(proprio), proprio.astype(np.float64), rcond=None)[0]
        spread, left = proprio.std(axis=0, dtype=np.float64), self.apart(proprio).std(axis=0)
        self._telling = spread > 1e-6  # what never moved has no usual deviation
        self._telling[self._gripper] = False
        self._unit = np.maximum(left, 1e-3 * spread + 1e-9)

    def apart(self, proprio: NDArray[np.float32]) -> Array:
        """Return (N, P) how far all is from what the gripper's position (N, 3) tells; 0 for itself."""
        result: Array = proprio.astype(np.float64) - self._terms(proprio) @ self._weights
        result[:, self._gripper] = 0
        return result

    def size(self, apart: Array) -> Array:
        """Return (N,) the mean square of deviations (N, P), each element in its usual one."""
        result: Array = np.square(apart / self._unit)[:, self._telling].mean(axis=1)
        return result

    def _terms(self, proprio: NDArray[np.float32]) -> Array:
        """Return all products (N, n) of up to four coordinates, within where the source was."""
        place = np.clip(proprio[:, self._gripper].astype(np.float64), self._low, self._high)
        place = (place - self._mean) / self._std
        columns = [np.ones(len(place))]
        for degree in range(1, _DEGREE + 1):
            every = itertools.combinations_with_replacement(range(place.shape[1]), degree)
            columns += [place[:, chosen].prod(axis=1) for chosen in every]
        return np.stack(columns, axis=1)


METHODS_OF_FAMILY = (
    Method(
        "match-posture", "dynamics", "inductive", ("demonstrations", "source data"),
        "encoder and head", "Chebotar et al. 2019, arXiv:1810.05687", match_posture,
    ),
)  # fmt: skip
