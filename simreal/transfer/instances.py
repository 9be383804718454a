r"""Instance-based: source frames that look like the target's count for more.

Both minimize :math:`E_{D_S} \, w(o) \| h(f(o)) - a \|^2` from the source weights. A pool of source frames
is composed once; its weights w come from the source policy's normalized features of the pool and of the
unlabelled target frames, and each update draws 64 frames with a chance proportional to w, which has the
same expectation as weighting them and less variance. Right if the target's observations are among the
source's, only rarer (covariate shift); where no source frame looks like the target, they cannot help.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from policies import Policy
from simreal.data.batch import Batch
from simreal.transfer.base import BATCH_SIZE, LabelledFrames, Method, Problem, Report
from simreal.transfer.divergences import normalized
from simreal.transfer.importance import (
    gaussian_kernel,
    kernel_mean_matching,
    logistic_density_ratio,
    median_distance,
)
from simreal.transfer.loop import fit_drawn, frames_of, source_of

_POOL = 2000  # source frames that are weighed
_MOST_FRAMES = 1000  # target frames they are held against
_BOUND = 20.0  # largest weight, so that a few frames cannot be everything
_RATE = 5e-4
Array = NDArray[np.float64]
Weigh = Callable[[Array, Array], Array]


def kmm(problem: Problem, report: Report, weigh: Weigh | None = None) -> Policy:
    r"""Weights that match the means in a kernel's space (`importance.kernel_mean_matching`).

    .. math:: \min_w \Big\| \tfrac{1}{n} \sum_i w_i \varphi(s_i) - \tfrac{1}{m} \sum_j \varphi(t_j) \Big\|^2,
              \quad 0 \le w_i \le B

    over normalized features s (n, F) of the pool and t (m, F) of the target, with a Gaussian kernel at the
    median distance and :math:`B` 20. Exists for a wide source of which the target is a
    narrow part, when the policy is too small, or the budget too short, to be right everywhere.
    Huang et al. 2006, NIPS 19.
    """
    return _reweighted(problem, report, weigh or match_kernel_means)


def density_ratio(problem: Problem, report: Report, weigh: Weigh | None = None) -> Policy:
    r"""Weights that a logistic discriminator gives (`importance.logistic_density_ratio`).

    .. math:: w(s) \propto \frac{p_T(s)}{p_S(s)} = \frac{n}{m} \frac{P(T | s)}{P(S | s)}

    of normalized features s (n, F) of the pool, told from t (m, F) of the target, and cut at 20 times
    their mean. Exists for the same shift as `kmm`, a target that is a narrow part of the source; it costs
    less with many frames, and says nothing sensible once the discriminator separates the domains
    entirely. Bickel et al. 2009, JMLR 10:2137.
    """
    return _reweighted(problem, report, weigh or divide_densities)


def match_kernel_means(source: Array, target: Array) -> Array:
    """Return weights (n,) with mean 1 of source features (n, F) for target features (m, F)."""
    bandwidth = median_distance(np.concatenate([source, target]))
    toward = len(source) * gaussian_kernel(source, target, bandwidth).mean(axis=1)
    kernel = gaussian_kernel(source, source, bandwidth)
    return kernel_mean_matching(kernel, toward, _BOUND, slack=0.01, iterations=300)


def divide_densities(source: Array, target: Array) -> Array:
    """Return weights (n,) with mean 1 of source features (n, F) for target features (m, F)."""
    # Strong regularization: 128 features separate a few hundred frames of each by chance alone.
    ratio = logistic_density_ratio(source, target, regularization=len(source) / 20)
    weights = np.minimum(ratio / ratio.mean(), _BOUND)
    return weights / weights.mean()


def weigh_equally(source: Array, target: Array) -> Array:
    """Return ones (n,): what instance-based transfer is without its weights."""
    return np.ones(len(source))


def _reweighted(problem: Problem, report: Report, weigh: Weigh) -> Policy:
    rng = problem.generator()
    pool = _pool(source_of(problem), rng)
    frames = frames_of(problem)
    seen = frames.at(rng.permutation(len(frames))[:_MOST_FRAMES])
    weights = weigh(_features(problem.policy, pool), _features(problem.policy, seen))
    chance = weights / weights.sum()

    def draw(rng: np.random.Generator) -> Batch:
        return _rows(pool, rng.choice(len(pool), BATCH_SIZE, p=chance))

    return fit_drawn(problem, report, draw, _RATE)


def _pool(source: LabelledFrames, rng: np.random.Generator) -> Batch:
    return source.at(np.sort(rng.permutation(len(source))[:_POOL]), rng)


def _features(policy: Policy, batch: Batch) -> Array:
    with torch.inference_mode():
        return normalized(policy.features(batch.observation)).double().numpy()


def _rows(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    picked = torch.from_numpy(rows)
    return Batch(
        {name: value[picked] for name, value in batch.observation.items()},
        batch.action[picked],
        {name: value[picked] for name, value in batch.auxiliary.items()},
    )


METHODS_OF_FAMILY = tuple(
    Method(
        name, "instance-based", "transductive", ("source data", "unlabelled frames"),
        "instance weights", paper, run,
    )
    for name, paper, run in (
        ("kmm", "Huang et al. 2006, NIPS 19", kmm),
        ("density-ratio", "Bickel et al. 2009, JMLR 10:2137", density_ratio),
    )
)  # fmt: skip
