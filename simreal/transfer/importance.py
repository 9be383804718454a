"""Weights on source samples that make them look drawn from the target: plain arrays in and out."""

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kernel_mean_matching(
    kernel: Array, toward_target: Array, bound: float, slack: float, iterations: int = 2000
) -> Array:
    r"""Return weights (n,) that bring the source's mean in the kernel's space to the target's.

    .. math:: \min_\beta \tfrac{1}{2} \beta^\top K \beta - \kappa^\top \beta
              \quad \text{with } 0 \le \beta_i \le B, \; |\bar\beta - 1| \le \epsilon

    Args:
        kernel: :math:`K` (n, n), between source samples; positive semi-definite.
        toward_target: :math:`\kappa` (n,): n times the mean of the kernel to the target's samples.
        bound: :math:`B`, the largest weight.
        slack: :math:`\epsilon`.
        iterations: Most steps of the projected gradient, accelerated (Beck and Teboulle 2009).

    Huang et al. 2006, "Correcting sample selection bias by unlabeled data", NIPS 19.
    """
    step = 1 / np.abs(kernel).sum(axis=1).max()  # no eigenvalue is above the largest row sum
    weights = ahead = np.ones(len(kernel))
    momentum = 1.0
    for _ in range(iterations):
        before, momentum_before = weights, momentum
        weights = _feasible(ahead - step * (kernel @ ahead - toward_target), bound, slack)
        change = weights - before
        if change @ (ahead - weights) > 0:  # running uphill: start the momentum anew
            momentum_before = 1.0
        momentum = (1 + np.sqrt(1 + 4 * momentum_before**2)) / 2
        ahead = weights + (momentum_before - 1) / momentum * change
        if np.abs(change).max() < 1e-9 * bound:
            break
    return weights


def gaussian_kernel(left: Array, right: Array, bandwidth: float) -> Array:
    """Return exp(-||x - y||^2 / (2 bandwidth^2)), (n, m), of samples (n, F) and (m, F)."""
    distance = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.exp(-np.maximum(distance, 0) / (2 * bandwidth**2))


def median_distance(samples: Array) -> float:
    """Return the median distance between samples (n, F), from 500 of them at most."""
    some = samples[:: max(1, len(samples) // 500)]
    squares = (some**2).sum(axis=1)
    distance = squares[:, None] + squares - 2 * some @ some.T
    return float(np.sqrt(max(np.median(distance[np.triu_indices(len(some), 1)]), 1e-12)))


def logistic_density_ratio(source: Array, target: Array, regularization: float = 1.0) -> Array:
    r"""Return :math:`p_T(x) / p_S(x)` (n,) of source samples (n, F), from a logistic discriminator.

    .. math:: w(x) = \frac{n_S}{n_T} \frac{P(T | x)}{P(S | x)}

    with :math:`n` samples of each. Bickel et al. 2009, JMLR 10:2137.
    """
    weight, bias = logistic_discriminator(source, target, regularization)
    odds = np.exp(np.clip(source @ weight + bias, -50, 50))
    return odds * len(source) / len(target)


def logistic_discriminator(source: Array, target: Array, regularization: float = 1.0) -> tuple[Array, float]:
    r"""Return weight (F,) and bias of :math:`\log P(T | x) / P(S | x) = w^\top x + b`, from (n, F), (m, F).

    .. math:: \min_{w, b} \tfrac{1}{2} \|w\|^2 / C + \sum_i \log(1 + e^{-y_i (w^\top x_i + b)})

    with :math:`C` = 1 / `regularization`, as scikit-learn counts it.
    """
    samples = torch.from_numpy(np.concatenate([source, target]))
    sign = torch.cat([-torch.ones(len(source)), torch.ones(len(target))]).double()
    parameters = torch.zeros(samples.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [parameters], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        margin = sign * (samples @ parameters[:-1] + parameters[-1])
        value = torch.nn.functional.softplus(-margin).sum()
        value = value + 0.5 * regularization * parameters[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return parameters.detach()[:-1].numpy(), float(parameters.detach()[-1])


def effective_samples(weights: Array) -> float:
    """Return how many equal weights would vary an average as much as these: (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def _feasible(weights: Array, bound: float, slack: float) -> Array:
    """Return the nearest weights within [0, bound] whose mean is within `slack` of 1."""
    clipped = np.clip(weights, 0, bound)
    mean = float(np.clip(clipped.mean(), 1 - slack, 1 + slack))
    if mean == clipped.mean():
        return clipped
    low, high = weights.min() - bound, weights.max()  # all at the bound, all at zero
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(weights - middle, 0, bound).mean() > mean else (low, middle)
    return np.clip(weights - (low + high) / 2, 0, bound)
