"""Drift watch: how far what a policy sees is from what it was trained on.

The distance is Mahalanobis', as for deep features in Lee et al. 2018 (arXiv:1807.03888), with the
covariance of probabilistic PCA (Tipping & Bishop 1999, doi:10.1111/1467-9868.00196): leading variances
as they are, the rest equal. One for the encoder's feature, one for the proprioception, each averaged over
a few decisions and in units of its own limit; the larger one counts, and 1 is the threshold.
"""

import dataclasses
import functools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policies.plain import from_plain
from simreal.errors import SimrealError
from simreal.results import to_plain

THRESHOLD = 1.0
WINDOW = 5  # decisions: a quarter of a second at 20 Hz
# Of the variance, kept by the leading components. From 0.98 on, small samples gave large thresholds
# and missed more; below 0.95 nothing changed (seed 0, half of the source data, nominal never fired).
_EXPLAINED = 0.95
_SMALLEST = 1e-6  # variances below are rounding, not spread
_BROKEN = 1e9  # the distance of a NaN: not infinite, since that could not be averaged away again

Rows = NDArray[Any]


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of vectors (n,): k leading components, all other directions alike.

    Raises:
        ValueError: if the parts do not fit together, or a number is not finite or no spread.
    """

    mean: tuple[float, ...]
    """(n,)"""
    scale: tuple[float, ...]
    """(n,): what each element is divided by first."""
    components: tuple[tuple[float, ...], ...]
    """(k, n), orthonormal."""
    variance: tuple[float, ...]
    """(k,), along the components."""
    rest: float
    """Variance along each other direction."""

    def __post_init__(self) -> None:
        size = len(self.mean)
        lengths = {len(self.scale), *(len(component) for component in self.components)}
        if size == 0 or lengths != {size} or len(self.components) != len(self.variance):
            raise ValueError(f"lengths {sorted(lengths)} for {size} elements")
        if not min(self.rest, *self.scale, *self.variance) > 0:
            raise ValueError("a scale or variance that is not above 0")
        if not all(np.isfinite(np.concatenate([part.ravel() for part in self._arrays]))):
            raise ValueError("a number that is not finite")

    @classmethod
    def fit(cls, rows: Rows, standardize: bool) -> "Gaussian":
        """Fit to rows (N, n); `standardize` for elements of different units."""
        rows = rows.astype(np.float64)
        mean, scale = rows.mean(axis=0), np.ones(rows.shape[1])
        if standardize:
            deviation = rows.std(axis=0)
            scale = np.where(deviation > _SMALLEST, deviation, 1.0)
        variance, vectors = np.linalg.eigh(np.atleast_2d(np.cov((rows - mean) / scale, rowvar=False)))
        variance, vectors = np.maximum(variance[::-1], 0.0), vectors[:, ::-1]
        total = max(float(variance.sum()), _SMALLEST)
        kept = int(np.searchsorted(np.cumsum(variance) / total, _EXPLAINED)) + 1
        kept = min(kept, len(variance) - 1)
        rest = max(float(variance[kept:].mean()), _SMALLEST)
        components = tuple(_short(vector) for vector in vectors[:, :kept].T)
        leading = np.maximum(variance[:kept], rest)
        return cls(_short(mean), _short(scale), components, _short(leading), *_short(np.array([rest])))

    def distance(self, rows: Rows) -> NDArray[np.float64]:
        """Return the distance (N,) of rows (N, n), in deviations of an average direction."""
        mean, scale, components, variance = self._arrays
        centred = (rows - mean) / scale
        along = centred @ components.T
        inside = (along**2 / variance).sum(axis=1)
        outside = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0.0) / self.rest
        return np.sqrt((inside + outside) / len(self.mean))

    @functools.cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], ...]:
        mean, scale, variance = map(np.array, (self.mean, self.scale, self.variance))
        return mean, scale, np.array(self.components).reshape(-1, len(mean)), variance


@dataclass(frozen=True)
class DriftStatistics:
    """What the drift watch knows of the training distribution; stored in the exported model.

    Raises:
        ValueError: if a limit or the window is not above 0.
    """

    feature: Gaussian
    proprio: Gaussian
    feature_limit: float
    """Averaged distance of the feature that counts as 1; exceeded at half of the false alarms."""
    proprio_limit: float
    """The same of the proprioception."""
    window: int
    """Decisions that the distance is averaged over."""
    false_alarms: float
    """Largest share of decisions above the threshold, in the source's worlds, that it was set for."""
    false_alarms_per_episode: float
    """Share of held-out source episodes with at least one decision above the threshold."""
    episodes: int
    """Held-out source episodes that the threshold was set on."""

    def __post_init__(self) -> None:
        if not min(self.feature_limit, self.proprio_limit, self.window) > 0:
            raise ValueError("a limit or window that is not above 0")

    def to_plain(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_plain(self)

    @classmethod
    def from_plain(cls, plain: Any, where: str) -> "DriftStatistics":
        """Return the statistics that `to_plain` gave.

        Raises:
            SimrealError: naming `where` if they are incomplete or do not fit together.
        """
        try:
            return from_plain(cls, plain, "drift")
        except ValueError as error:
            raise SimrealError(f"{where}: not the statistics of a drift watch: {error}") from None

    def distances(self, features: Rows, proprio: Rows) -> NDArray[np.float64]:
        """Return both distances (N, 2) of N decisions, each over its limit; broken numbers are far."""
        with np.errstate(invalid="ignore", over="ignore"):
            both = (
                self.feature.distance(features) / self.feature_limit,
                self.proprio.distance(proprio) / self.proprio_limit,
            )
        return np.nan_to_num(np.stack(both, axis=1), nan=_BROKEN, posinf=_BROKEN)


class DriftWatch:
    """The drift watch of one episode: give it every decision, compare the answer with `threshold`."""

    threshold = THRESHOLD

    def __init__(self, statistics: DriftStatistics) -> None:
        self.statistics = statistics
        self.farther: Literal["feature", "proprio"] = "feature"
        """Which of the two the last answer is of."""
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=statistics.window)

    def update(self, feature: Rows, proprio: Rows) -> float:
        """Return the distance now, averaged over the last decisions; above `threshold` is drift.

        Args:
            feature: (F,) of the decision.
            proprio: (P,) that it was made on.
        """
        self._recent.append(self.statistics.distances(feature[None], proprio[None])[0])
        seen, arm = (math.fsum(parts) / len(parts) for parts in zip(*self._recent, strict=True))
        self.farther = "feature" if seen >= arm else "proprio"
        return max(seen, arm)

    def reset(self) -> None:
        """Forget the decisions so far: another episode begins."""
        self._recent.clear()


def calibrate(
    features: Sequence[Rows],
    proprio: Sequence[Rows],
    false_alarms: float,
    seed: int = 0,
    window: int = WINDOW,
) -> DriftStatistics:
    """Return statistics from source episodes: one half is described, the other sets the limits.

    A limit is the conformal quantile (Vovk et al. 2005, doi:10.1007/b106715) at half of the rate, of what
    the watch averages on the held-out half: together they exceed the rate in no case. Whole episodes
    are held out since decisions of one are alike.

    Args:
        features: (T, F) of each episode.
        proprio: (T, P) of each episode.
        false_alarms: Share of decisions that may be above the threshold, between 0 and 1.
        seed: Of the split.
        window: Decisions to average over.

    Raises:
        SimrealError: if the episodes are too few for such a rate.
    """
    if not 0 < false_alarms < 1:
        raise SimrealError(f"false alarms {false_alarms}: must be between 0 and 1")
    if len(features) < 4:
        raise SimrealError(f"{len(features)} source episodes: the drift watch needs at least 4")
    order = np.random.default_rng(seed).permutation(len(features))
    described, held = order[: len(order) // 2], order[len(order) // 2 :]
    parts = [np.concatenate([rows[i] for i in described]) for rows in (features, proprio)]
    feature, arm = Gaussian.fit(parts[0], standardize=False), Gaussian.fit(parts[1], standardize=True)
    bare = DriftStatistics(feature, arm, 1.0, 1.0, window, false_alarms, 0.0, len(held))
    answers = [smoothed(bare.distances(features[i], proprio[i]), window) for i in held]
    limits = _conformal(np.concatenate(answers), false_alarms)
    return dataclasses.replace(
        bare,
        feature_limit=float(limits[0]),
        proprio_limit=float(limits[1]),
        false_alarms_per_episode=float(np.mean([(answer > limits).any() for answer in answers])),
    )


def smoothed(distances: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return what the watch averages at each decision of an episode, (T, 2), of distances (T, 2)."""
    total = np.cumsum(np.concatenate([np.zeros((1, distances.shape[1])), distances]), axis=0)
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)[:, None]


def _conformal(values: NDArray[np.float64], false_alarms: float) -> NDArray[np.float64]:
    """Return the limits (2,) that a further row of `values` (N, 2) exceeds at half of the rate each."""
    rank = math.ceil((len(values) + 1) * (1 - false_alarms / 2))
    if rank > len(values):
        raise SimrealError(
            f"false alarms {false_alarms}: {len(values)} held-out source frames cannot tell so small a rate; "
            f"it takes {math.ceil(2 / false_alarms)}"
        )
    return np.maximum(np.sort(values, axis=0)[rank - 1], _SMALLEST)


def _short(values: NDArray[np.float64]) -> tuple[float, ...]:
    # More digits than float32 has would only make the file longer.
    return tuple(float(f"{value:.7g}") for value in values)
