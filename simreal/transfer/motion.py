r"""Motion: the policy's actions are scaled so that the target moves as the source did.

Over an episode of :math:`T` steps a robot moves :math:`q_T - q_0 = \gamma A \sum_t a_t + T c`, whatever its
inertia: :math:`A` (P, A) is fitted on the source's episodes, the gain :math:`\gamma` and a drift :math:`c`
(P,) on the demonstrations. :math:`\gamma` of 0.3 is a robot that moves a third as far.
"""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from policies import Policy
from simreal.data.motions import Motions, Totals
from simreal.transfer.appearances import in_looks
from simreal.transfer.base import Method, Problem, Report
from simreal.transfer.fine_tuning import finetune
from simreal.transfer.loop import source_of
from simreal.transfer.postures import apart_in, in_posture, posed

_USUAL = 0.9  # of the source's episodes have a gain that the policy has learned to live with
_SURE = 0.95
_LONGEST_DELAY = 8  # steps
_FEWEST_SOURCE, _FEWEST = 20, 4  # episodes of the source, and demonstrations
_MOST = 4.0
Array = NDArray[np.float64]


def match_motion(problem: Problem, report: Report, *, most: float = _MOST) -> Policy:
    r"""Fine-tune, then scale actions until the target moves as far as the source did.

    .. math:: \min_w E_{D_T} \| h(f(o)) - a \|^2, \quad h \leftarrow k h, \quad
              k = 1 / \max(\gamma, s) \text{ if weaker, } 1 / \min(\gamma, s) \text{ if stronger}

    with actions :math:`a` (A,), the gain :math:`\gamma` of the target's motion over the source's (this
    module) and :math:`s` the ratio of their speeds: a demonstrator who pushes harder already, and so is
    as fast as in the source, is only imitated. :math:`k` is 1 unless :math:`s`, and the 95% interval of the
    gain for any delay of up to eight steps, lie outside the gains that nine in ten source episodes have,
    which randomization has covered; and at most `most`, where 1 is fine-tuning. Exists for shifts of
    dynamics that make every motion smaller or larger, such as slow servos: there the demonstrations of an
    expert who never knew are slow, and imitation is as slow. An inverse dynamics model of one number, after
    Christiano et al. 2016, arXiv:1610.03518, and Hanna and Stone 2017, doi:10.1609/aaai.v31i1.11124.
    """
    return scaled(finetune(problem, report), _factor(problem, most))


def match(
    problem: Problem, report: Report, *, first: float = 3.2, share: float = 1 / 4, most: float = _MOST
) -> Policy:
    r"""Match appearance and posture, then motion: perception, head and dynamics by the same demonstrations.

    .. math:: \min_{f, h} E_{s, a \sim D_S, \; e} \| h(f(\hat c_e \circ s, q_e)) - a \|^2, \text{ then with }
              D_T, \quad h \leftarrow k h

    with images :math:`\hat c_e \circ s` (B, H, W, 3) of the source as demonstration :math:`e` looks,
    proprioception :math:`q_e` (B, P) that deviates as the demonstrations' does, and actions :math:`a` (B,
    A): first `match_appearance` with such proprioception, which goes on with the source's own looks where
    the demonstrations' explain too little; then the actions are scaled by the :math:`k` of
    `match_motion`, `most` at the most. What none finds anything of is left to fine-tuning; with `first` 0
    and `most` 1 all is fine-tuning. Exists for targets of which nobody knows what is different, such as a
    camera that swaps its channels on a robot with slow servos. The three together are our own; the parts are
    after Chebotar et al. 2019, arXiv:1810.05687, and Christiano et al. 2016, arXiv:1610.03518.
    """
    apart = apart_in(problem)
    change, otherwise = functools.partial(posed, apart=apart), in_posture(problem, apart)
    policy = in_looks(problem, report, first, share, change, otherwise)
    if policy is None:
        policy = finetune(problem, report)
    return scaled(policy, _factor(problem, most))


def _factor(problem: Problem, most: float) -> float:
    source, data = source_of(problem).motions(), problem.demonstrated().motions()
    most = max(most, 1.0)
    return min(max(effort(source, data, problem.gripper), 1 / most), most)


def effort(source: Motions, target: Motions, columns: tuple[int, ...] = ()) -> float:
    """Return what actions should be multiplied with for the target to move as the source does.

    1 where the source's episodes differ as much among themselves, where a delay would explain it, where the
    demonstrations or the source's episodes are too few to tell, or the demonstrations as fast as those.

    Args:
        source: Episodes of the source.
        target: Demonstrations.
        columns: Which elements of the proprioception tell where the robot is; all if empty.
    """
    usual, shown = source.totals(columns), target.totals(columns)
    if len(usual) < _FEWEST_SOURCE or len(shown) < _FEWEST:
        return 1.0
    fitted = _Fitted(usual)
    low, high = fitted.usual()
    speed = fitted.speed(shown) / fitted.speed(usual)
    gain, least, _ = fitted.gain(shown)
    if least > high and speed > high:
        return min(1.0, 1 / min(gain, speed))
    # A delay makes a robot look weak, never strong: the last actions did nothing yet.
    found = [fitted.gain(target.totals(columns, delay)) for delay in range(_LONGEST_DELAY + 1)]
    if 0 < speed < low and all(least > 0 and most < low for _, least, most in found):
        return max(1.0, 1 / max(gain, speed))
    return 1.0


class _Fitted:
    """How the source moves; elements of the proprioception count by how well they are predicted."""

    def __init__(self, source: Totals) -> None:
        self._source = source
        given = np.column_stack([source.pushed, source.steps])
        fit = np.linalg.lstsq(given, source.moved, rcond=None)[0]
        deviation = (source.moved - given @ fit).std(axis=0)
        self._unit = np.maximum(deviation, 1e-6 + 1e-3 * source.moved.std(axis=0))
        self._push, self._drift = fit[:-1], fit[-1]

    def usual(self) -> tuple[float, float]:
        """Return the interval in which nine of ten source episodes have their gain."""
        expected, moved = self._both(self._source)
        size = np.square(expected).sum(axis=1)
        telling = size >= np.median(size)  # what hardly moved has any gain
        gains = (expected * moved).sum(axis=1)[telling] / (size[telling] + 1e-12)
        count = len(gains)
        reach = stats.t.ppf((1 + _USUAL) / 2, count - 1) * gains.std(ddof=1) * (1 + 1 / count) ** 0.5
        return float(gains.mean() - reach), float(gains.mean() + reach)

    def gain(self, target: Totals) -> tuple[float, float, float]:
        """Return the target's gain beside a drift that is no gain, and the ends of its 95% interval.

        Errors are clustered by demonstration (Liang & Zeger 1986, Biometrika 73:13). What disturbs a robot
        makes its demonstrator push, and then the regression of motion on actions is too flat, and the
        inverse of that of actions on motion too steep: the interval holds both.
        """
        expected, moved = (_without(target.steps, each) for each in self._both(target))
        size, both = np.square(expected).sum(), (expected * moved).sum()
        if both <= 0:  # nothing was done or nothing moved, or backwards
            return 1.0, -np.inf, np.inf
        gain, steep = both / size, np.square(moved).sum() / both
        by_episode = (expected * (moved - gain * expected)).sum(axis=1)
        count = len(target)
        error = (count / (count - 1) * np.square(by_episode).sum()) ** 0.5 / size
        reach = stats.t.ppf((1 + _SURE) / 2, count - 1) * error
        return float(gain), float(gain - reach), float(max(gain, steep) + reach)

    def speed(self, totals: Totals) -> float:
        """Return how far an episode goes in a step."""
        return float(np.linalg.norm(totals.moved / self._unit, axis=1).sum() / totals.steps.sum())

    def _both(self, totals: Totals) -> tuple[Array, Array]:
        """Return movements as the source would make them for the same actions, and as they were."""
        drift = totals.steps[:, None] * self._drift
        return totals.pushed @ self._push / self._unit, (totals.moved - drift) / self._unit


def _without(steps: NDArray[np.int64], values: Array) -> Array:
    """Take from each column of values (E, P) what goes with the number of steps (E,)."""
    result: Array = values - np.outer(steps, steps @ values) / np.square(steps).sum()
    return result


@torch.no_grad()
def scaled(policy: Policy, factor: float) -> Policy:
    """Multiply the actions of a policy, in place, and return it."""
    if factor != 1.0:
        for values in policy.head.output.parameters():
            values.mul_(factor)
    return policy


METHODS_OF_FAMILY = (
    Method(
        "match-motion", "dynamics", "inductive", ("demonstrations", "source data"),
        "encoder and head", "Christiano et al. 2016, arXiv:1610.03518", match_motion,
    ),
    Method(
        "match", "dynamics", "inductive", ("demonstrations", "source data"),
        "encoder and head", "Chebotar et al. 2019, arXiv:1810.05687", match,
    ),
)  # fmt: skip
