"""Drift watch: how far what a policy sees is from what it was trained on.

The distance is Mahalanobis', as for deep features in Lee et al. 2018 (arXiv:1807.03888), with the
covariance of probabilistic PCA (Tipping & Bishop 1999, doi:10.1111/1467-9868.00196): leading variances
as they are, the rest equal. One for the encoder's feature, one for the proprioception; the larger one,
averaged over a few decisions, counts, and 1 is the threshold.
"""

import dataclasses
import functools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.plain import from_plain
from simreal.errors import SimrealError

THRESHOLD = 1.0
WINDOW = 5  # decisions: a quarter of a second at 20 Hz
# Of the variance, kept by the leading components. From 0.98 on, small samples gave large thresholds
# and missed more; below 0.95 nothing changed (seed 0, half of the source data, nominal never fired).
_EXPLAINED = 0.95
_SMALLEST = 1e-6  # variances below are rounding, not spread

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
    """Distance of the feature that counts as 1."""
    proprio_limit: float
    window: int
    """Decisions that the distance is averaged over."""
    false_alarms: float
    """Share of decisions above the threshold that it was set for, in the source's worlds."""
    false_alarms_per_episode: float
    """Share of held-out source episodes with at least one decision above the threshold."""
    episodes: int
    """Held-out source episodes that the threshold was set on."""

    def __post_init__(self) -> None:
        if not min(self.feature_limit, self.proprio_limit, self.window) > 0:
            raise ValueError("a limit or window that is not above 0")

    def to_plain(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

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
        """Return the distance (N,) of each of N decisions alone, 1 at the limit; broken numbers are far."""
        with np.errstate(invalid="ignore", over="ignore"):
            both = np.maximum(
                self.feature.distance(features) / self.feature_limit,
                self.proprio.distance(proprio) / self.proprio_limit,
            )
        return np.where(np.isnan(both), np.inf, both)


class DriftWatch:
    """The drift watch of one episode: give it every decision, compare the answer with `threshold`."""

    threshold = THRESHOLD

    def __init__(self, statistics: DriftStatistics) -> None:
        self.statistics = statistics
        self._recent: deque[float] = deque(maxlen=statistics.window)

    def update(self, feature: Rows, proprio: Rows) -> float:
        """Return the distance now, averaged over the last decisions; above `threshold` is drift.

        Args:
            feature: (F,) of the decision.
            proprio: (P,) that it was made on.
        """
        self._recent.append(float(self.statistics.distances(feature[None], proprio[None])[0]))
        return math.fsum(self._recent) / len(self._recent)

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
    """Return statistics from source episodes: one half is described, the other sets the threshold.

    The threshold is the conformal quantile (Vovk et al. 2005, doi:10.1007/b106715) of what the watch
    answers on the held-out half; whole episodes are held out since decisions of one are alike.

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
    limits = [
        max(float(np.quantile(found.distance(part), 1 - false_alarms)), _SMALLEST)
        for found, part in zip((feature, arm), parts, strict=True)
    ]
    loose = DriftStatistics(feature, arm, limits[0], limits[1], window, false_alarms, 0.0, len(held))
    answers = [smoothed(loose.distances(features[i], proprio[i]), window) for i in held]
    threshold = _conformal(np.concatenate(answers), false_alarms)
    return dataclasses.replace(
        loose,
        feature_limit=limits[0] * threshold,
        proprio_limit=limits[1] * threshold,
        false_alarms_per_episode=float(np.mean([answer.max() > threshold for answer in answers])),
    )


def smoothed(distances: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return what the watch answers at each decision of an episode, (T,), for single distances (T,)."""
    total = np.cumsum(np.concatenate([[0.0], distances]))
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def _conformal(values: NDArray[np.float64], false_alarms: float) -> float:
    rank = math.ceil((len(values) + 1) * (1 - false_alarms))
    if rank > len(values):
        least = math.ceil(1 / false_alarms)
        raise SimrealError(
            f"false alarms {false_alarms}: {len(values)} held-out source frames cannot tell so small a rate; "
            f"it takes {least}"
        )
    return max(float(np.sort(values)[rank - 1]), _SMALLEST)


def _short(values: NDArray[np.float64]) -> tuple[float, ...]:
    # More digits than float32 has would only make the file longer.
    return tuple(float(f"{value:.7g}") for value in values)
