"""Bayesian linear regression of the action on the feature: a head that knows how sure it is."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from policies import Policy
from simreal.data.target import TargetData
from simreal.transfer.base import Method, Problem, Report

Array = NDArray[np.float64]
_ITERATIONS, _TOLERANCE = 300, 1e-6
_LARGEST = 1e12  # of the prior's precision: beyond, the evidence is flat
_MOST_PRECISE = 1e4  # 1/variance: with fewer frames than weights the noise would vanish, and doubt with it


@dataclass(frozen=True)
class Posterior:
    """Of the weights of one linear output, Gaussian."""

    mean: Array
    """(D,)"""
    covariance: Array
    """(D, D)"""
    prior_precision: float
    noise_precision: float
    log_evidence: float
    """Of the data under the two precisions, nats."""

    def predict(self, inputs: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the output at inputs (N, D), (N,) each."""
        spread = np.einsum("nd,de,ne->n", inputs, self.covariance, inputs)
        return inputs @ self.mean, np.sqrt(spread + 1 / self.noise_precision)


def regress(inputs: Array, outputs: Array, prior_precision: float | None = None) -> Posterior:
    r"""Fit a linear output with the prior and the noise that make the data most probable.

    .. math:: w \sim N(0, \alpha^{-1} I), \; y \sim N(X w, \beta^{-1} I), \quad
              \gamma = \sum_i \frac{\beta s_i}{\alpha + \beta s_i}, \quad
              \alpha \leftarrow \frac{\gamma}{\| m \|^2}, \quad
              \beta \leftarrow \frac{N - \gamma}{\| y - X m \|^2}

    until neither moves, with :math:`s_i` the eigenvalues of :math:`X^T X` and :math:`m` the posterior
    mean. MacKay 1992, Neural Computation 4:415; Bishop 2006, section 3.5.

    Args:
        inputs: X, (N, D).
        outputs: y, (N,).
        prior_precision: Fixed instead of fitted; 0 is least squares.
    """
    count, size = inputs.shape
    left, singular, right = np.linalg.svd(inputs, full_matrices=False)
    squares, projected = singular**2, left.T @ outputs
    alpha = 1.0 if prior_precision is None else prior_precision
    beta = min(1 / max(float(outputs.var()), 1e-300), _MOST_PRECISE)
    for _ in range(_ITERATIONS):
        mean = right.T @ _shrunk(singular, projected, alpha, beta)
        effective = float((beta * squares / np.maximum(alpha + beta * squares, 1e-300)).sum())
        residual = float(np.square(outputs - inputs @ mean).sum())
        before = np.log([max(alpha, 1e-300), beta])
        if prior_precision is None:
            alpha = min(effective / max(float(mean @ mean), 1e-300), _LARGEST)
        beta = min(max(count - effective, 1e-9) / max(residual, 1e-300), _MOST_PRECISE)
        if np.abs(np.log([max(alpha, 1e-300), beta]) - before).max() < _TOLERANCE:
            break
    mean = right.T @ _shrunk(singular, projected, alpha, beta)
    precise = beta * squares + alpha
    # Directions that no input has keep the prior's variance.
    flat = 1 / max(alpha, 1 / _LARGEST)
    covariance = flat * np.eye(size) + right.T @ ((1 / np.maximum(precise, 1e-300) - flat)[:, None] * right)
    return Posterior(
        mean, covariance, alpha, beta, _log_evidence(inputs, outputs, mean, squares, alpha, beta)
    )


def _shrunk(singular: Array, projected: Array, alpha: float, beta: float) -> Array:
    """Return the posterior mean along the right singular vectors."""
    useful = singular > singular.max(initial=0.0) * 1e-10
    return np.where(useful, beta * singular * projected / np.maximum(alpha + beta * singular**2, 1e-300), 0.0)


def _log_evidence(
    inputs: Array, outputs: Array, mean: Array, squares: Array, alpha: float, beta: float
) -> float:
    r"""Return :math:`\log p(y | X, \alpha, \beta)` (Bishop 2006, equation 3.86)."""
    if alpha <= 0:
        return -np.inf  # an improper prior makes no data probable
    count, size = inputs.shape
    fit = beta * float(np.square(outputs - inputs @ mean).sum()) + alpha * float(mean @ mean)
    log_determinant = np.log(alpha + beta * squares).sum() + (size - len(squares)) * np.log(alpha)
    constants = size * np.log(alpha) + count * np.log(beta) - count * np.log(2 * np.pi)
    return float(0.5 * (constants - log_determinant - fit))


@dataclass(frozen=True)
class BayesianHead:
    """A policy whose output layer is a distribution; its mean is an ordinary policy."""

    policy: Policy
    outputs: tuple[Posterior, ...]
    """Of what is added to each row of the source's output layer, bias last."""

    def predict(self, data: TargetData) -> tuple[Array, Array]:
        """Return mean and standard deviation of the raw actions, (N, A) each."""
        hidden, action = _hidden(self.policy, data)
        spread = [posterior.predict(hidden)[1] for posterior in self.outputs]
        return action, np.stack(spread, axis=1)


def fit_bayesian_head(policy: Policy, data: TargetData, prior_precision: float | None = None) -> BayesianHead:
    """Fit the output layer of a policy to demonstrations, starting from the source's as the prior's mean.

    Args:
        policy: Changed in place.
        data: Demonstrations.
        prior_precision: As in `regress`.
    """
    hidden, action = _hidden(policy, data)
    missing = data.actions - action
    outputs = tuple(regress(hidden, missing[:, axis], prior_precision) for axis in range(missing.shape[1]))
    added = torch.from_numpy(np.stack([posterior.mean for posterior in outputs])).float()
    with torch.no_grad():
        policy.head.output.weight.add_(added[:, :-1])
        policy.head.output.bias.add_(added[:, -1])
    return BayesianHead(policy.eval(), outputs)


def bayes_head(problem: Problem, report: Report, *, prior_precision: float | None = None) -> Policy:
    r"""Give the head's output layer its posterior mean under the demonstrations; no gradient updates.

    .. math:: a = (W_S + W) z + \epsilon, \quad W_{ij} \sim N(0, \alpha_i^{-1}), \quad
              \epsilon_i \sim N(0, \beta_i^{-1})

    with :math:`z` (B, D) the last hidden layer and a one for the bias, and :math:`\alpha_i, \beta_i`
    those that make the demonstrations most probable: so few frames move the head little, and many as far
    as they must. 0 as `prior_precision` is least squares, which a few frames mislead. Exists for shifts
    of what an action does, such as a bias, from very few frames, and where the policy must know how sure
    it is: `fit_bayesian_head` gives the standard deviation of every action. MacKay 1992,
    doi:10.1162/neco.1992.4.3.415.
    """
    return fit_bayesian_head(problem.copy_of_policy(), problem.demonstrated(), prior_precision).policy


def _hidden(policy: Policy, data: TargetData) -> tuple[Array, Array]:
    """Return the inputs of the output layer with a one, (N, D), and the raw actions, (N, A)."""
    with torch.no_grad():
        parts = [policy.head.hidden(policy.features(part.observation)) for part in data.parts()]
        hidden = torch.cat(parts)
        action = policy.head.output(hidden)
    ones = torch.ones(len(hidden), 1)
    return torch.cat([hidden, ones], dim=1).double().numpy(), action.double().numpy()


METHODS_OF_FAMILY = (
    Method(
        "bayes-head", "meta-transfer", "inductive", ("demonstrations",), "the head's output layer",
        "MacKay 1992, doi:10.1162/neco.1992.4.3.415", bayes_head,
    ),
)  # fmt: skip
