"""Transferability scores, on plain arrays: what features promise on a little target data, without training.

How much each is worth is measured, not believed: `simreal.check.rank_agreement` judges them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from simreal.errors import SimrealError
from simreal.transfer.importance import logistic_discriminator

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
_FOLDS = 5
_RATIOS = np.logspace(-12, 12, 97)  # of both precisions, times the mean squared singular value
DEAD_ZONE = 1 / 3  # of an action in [-1, 1]: below, it does not point anywhere
LEAST_FRAMES = 5  # of a class: a mean of fewer is mostly noise
_LEAST_SHARE = 0.5  # of the frames that the classes must cover


def proxy_a_distance(source: Array, target: Array, source_episode: Whole, target_episode: Whole) -> float:
    r"""Return the proxy A-distance of features (N, F) and (M, F), from 0 (alike) to 2 (separable).

    .. math:: \hat d_A = 2 (1 - 2 \epsilon)

    with :math:`\epsilon` the error of a linear classifier of source against target on held-out samples, the
    mean of both sides' errors, so that numbers need not be equal. An error above 1/2 is chance and counts as
    1/2. Ben-David et al. 2007, NIPS 19. Whole episodes are held out, a fifth at a time: neighbouring
    frames of one would tell the classifier which side they are on.

    Args:
        source: Features of source frames.
        target: Features of target frames.
        source_episode: (N,) which episode a frame is of.
        target_episode: (M,) the same of the target.

    Raises:
        SimrealError: if a side has a single episode: nothing could be held out.
    """
    folds = min(_FOLDS, len(np.unique(source_episode)), len(np.unique(target_episode)))
    if folds < 2:
        raise SimrealError("the A-distance holds whole episodes out: source and target need two each")
    sides = (source, target)
    parts = [episode_folds(episode, folds) for episode in (source_episode, target_episode)]
    wrong = [np.zeros(len(side), bool) for side in sides]
    for fold in range(folds):
        fitted = [side[part != fold] for side, part in zip(sides, parts, strict=True)]
        mean, scale = _moments(np.concatenate(fitted))
        weight, bias = logistic_discriminator(*((side - mean) / scale for side in fitted))
        for index, (side, part) in enumerate(zip(sides, parts, strict=True)):
            says_target = ((side[part == fold] - mean) / scale) @ weight + bias > 0
            wrong[index][part == fold] = says_target != bool(index)
    error = float(np.mean([side.mean() for side in wrong]))
    return 2 * (1 - 2 * min(error, 0.5))


def episode_folds(episode: Whole, folds: int) -> Whole:
    """Return the fold of each frame (N,), 0 to `folds` - 1; the frames of an episode share theirs."""
    return np.asarray(np.unique(episode, return_inverse=True)[1] % folds)


def logme(features: Array, labels: Array) -> float:
    r"""Return the logarithm of maximum evidence of labels (N, A) given features (N, F), a frame and column.

    .. math:: \frac{1}{N A} \sum_a \max_{\alpha, \beta} \log \mathcal{N}
              \left( y_a; 0, \beta^{-1} I + \alpha^{-1} F F^\top \right)

    the evidence of a linear head with a Gaussian prior of precision :math:`\alpha` under noise of precision
    :math:`\beta`. You et al. 2021, arXiv:2102.11005, whose fixed-point iteration may stop at a local
    maximum: here :math:`\beta` is solved for, and the ratio :math:`\alpha / \beta` is searched. Without an
    intercept, as there. Turned or scaled features change nothing; labels scaled by c lower it by log c.

    Raises:
        SimrealError: if no column of the labels ever differs from zero: any features explain that.
    """
    moving = labels[:, np.any(labels != 0, axis=0)]
    if not moving.size:
        raise SimrealError("LogME: the demonstrated actions are all zero: there is nothing to explain")
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    squares = np.square(singular)
    scale = squares.mean() if squares.any() else 1.0
    inside = np.square(left.T @ moving)
    outside = np.maximum(np.square(moving).sum(axis=0) - inside.sum(axis=0), 0)
    found = [_evidence(squares / scale, *each, len(moving)) for each in zip(inside.T, outside, strict=True)]
    return float(np.mean(found)) / len(moving)


def _evidence(squares: Array, inside: Array, outside: float, count: int) -> float:
    """Return the largest log evidence, from squared singular values and the label's part along each."""

    def negative(log_ratio: Any) -> Any:
        growth = 1 + squares / np.exp(np.asarray(log_ratio))[..., None]
        variance = ((inside / growth).sum(axis=-1) + outside) / count
        return (count * (np.log(2 * np.pi * variance) + 1) + np.log(growth).sum(axis=-1)) / 2

    ratios = np.log(_RATIOS)
    best = int(np.argmin(negative(ratios)))
    bounds = ratios[max(best - 1, 0)], ratios[min(best + 1, len(ratios) - 1)]
    found = optimize.minimize_scalar(negative, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return -float(min(found.fun, negative(ratios[best])))


def h_score(features: Array, classes: Whole, shrink: bool = True) -> float:
    r"""Return the H-score of features (N, F) for classes (N,); rows of a negative class are left out.

    .. math:: \operatorname{tr} \left( \Sigma_\lambda^{-1} (1 - \lambda) \operatorname{cov}(E[f | y]) \right),
              \quad \Sigma_\lambda = (1 - \lambda) \operatorname{cov}(f)
              + \lambda \tfrac{1}{F} \operatorname{tr}(\operatorname{cov}(f)) I

    how far the means of the classes lie apart, in units of the features' spread: from 0 to the number of
    classes less one. Bao et al. 2019, arXiv:2212.10082 (:math:`\lambda = 0`); with fewer frames than a
    covariance has entries that is mostly noise, hence the shrinkage of Ledoit and Wolf (2004, J. Multivar.
    Anal. 88:365), after Ibrahim et al. 2022, arXiv:2110.06893. It is for classes: `action_classes` says
    which actions have some.

    Raises:
        SimrealError: for fewer than two classes.
    """
    kept = classes >= 0
    names, which = np.unique(classes[kept], return_inverse=True)
    if len(names) < 2:
        raise SimrealError(f"H-score is for classes, and needs two: the frames have {len(names)}")
    centred = features[kept] - features[kept].mean(axis=0)
    share = ledoit_wolf(centred) if shrink else 0.0
    covariance = centred.T @ centred / len(centred)
    size = covariance.shape[0]
    shrunk = (1 - share) * covariance + share * np.trace(covariance) / size * np.eye(size)
    means = np.stack([centred[which == index].mean(axis=0) for index in range(len(names))])
    weights = np.bincount(which) / len(which)
    between = (1 - share) * (means.T * weights) @ means
    return float(np.trace(np.linalg.pinv(shrunk, hermitian=True) @ between))


def ledoit_wolf(centred: Array) -> float:
    """Return the share of a scaled identity that improves a covariance most, from centred samples (N, F).

    Ledoit and Wolf 2004, J. Multivar. Anal. 88:365; 1 where the samples do not vary.
    """
    count, size = centred.shape
    covariance = centred.T @ centred / count
    away = np.square(covariance - np.trace(covariance) / size * np.eye(size)).sum()
    fourth = np.square(np.square(centred).sum(axis=1)).sum() / count
    noise = (fourth - np.square(covariance).sum()) / count
    return float(min(max(noise, 0) / away, 1.0)) if away > 0 else 1.0


def action_classes(actions: Array) -> Whole:
    """Return the direction of each action (N, A) as a class (N,), -1 where too few frames share it.

    A direction is the sign of every element, 0 within a third of the way to its limit: for displacements
    of an arm, whose scale and sign mean something. Classes of fewer than five frames are left out.

    Raises:
        SimrealError: if they are not what classes can describe: fewer than two directions remain, or less
            than half of the frames.
    """
    signs = np.where(np.abs(actions) < DEAD_ZONE, 0, np.sign(actions))
    which, counts = np.unique(signs, axis=0, return_inverse=True, return_counts=True)[1:]
    found = np.where(counts[which] >= LEAST_FRAMES, which, -1).astype(np.int64)
    several, covered = int((counts >= LEAST_FRAMES).sum()), float((found >= 0).mean())
    if several < 2 or covered < _LEAST_SHARE:
        raise SimrealError(
            f"H-score is for classes: the actions have {several} directions with {LEAST_FRAMES} frames or "
            f"more, in {covered:.0%} of {len(actions)} frames; it takes two, in {_LEAST_SHARE:.0%}: use LogME"
        )
    return found


def _moments(values: Array) -> tuple[Array, Array]:
    """Return mean and deviation of each column; 1 for a column that does not vary."""
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 1e-9, deviation, 1.0)
