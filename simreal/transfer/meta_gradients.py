"""Gradients through adaptation, with `torch.func`: of any loss of named parameters, no policy needed."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vjp

Parameters = dict[str, Tensor]
Loss = Callable[[Parameters], Tensor]


def descend(
    loss: Loss, start: Parameters, steps: int, rate: float, names: Collection[str] | None = None
) -> Parameters:
    """Return the parameters after gradient steps; differentiable in `start`.

    Args:
        loss: Of all parameters, a scalar.
        start: Where to begin; left as it is.
        steps: How many.
        rate: Their length over the gradient's.
        names: Which parameters move; all by default.
    """
    current = dict(start)
    for _ in range(steps):
        fixed = dict(current)
        moving = {name: current[name] for name in (current if names is None else names)}
        slope = grad(lambda moved, fixed=fixed: loss({**fixed, **moved}))(moving)  # type: ignore[misc]
        current |= {name: value - rate * slope[name] for name, value in moving.items()}
    return current


def pulled_step(
    loss: Loss,
    current: Parameters,
    start: Parameters,
    rate: float,
    pull: float = 0.0,
    names: Collection[str] | None = None,
) -> tuple[Parameters, Tensor]:
    r"""Take one proximal step on :math:`L(\varphi) + \tfrac{\lambda}{2} \| \varphi - \theta \|^2`.

    .. math:: \varphi \leftarrow (\varphi - \alpha \nabla L + \alpha \lambda \theta) / (1 + \alpha \lambda)

    with :math:`\theta` the `start`; without a `pull` it is a gradient step.

    Returns:
        The parameters after the step, and the loss before it.
    """
    moving = {name: current[name] for name in (current if names is None else names)}
    slope, value = grad_and_value(lambda moved: loss({**current, **moved}))(moving)
    moved = {
        name: (own - rate * slope[name] + rate * pull * start[name]) / (1 + rate * pull)
        for name, own in moving.items()
    }
    return {**current, **moved}, value


def maml_gradient(
    support: Loss,
    query: Loss,
    start: Parameters,
    steps: int,
    rate: float,
    names: Collection[str] | None = None,
) -> tuple[Parameters, Tensor]:
    r"""Return the gradient of the loss after adaptation with respect to where adaptation began.

    .. math:: \nabla_\theta L_Q(\varphi_k(\theta)), \quad
              \varphi_{j+1} = \varphi_j - \alpha \nabla L_S(\varphi_j), \quad \varphi_0 = \theta

    Exact, with second derivatives (Finn et al. 2017, arXiv:1703.03400); with no steps it is the plain
    gradient of the query loss. `names` restricts the inner loop, as to the head in ANIL.

    Returns:
        The gradient, and the loss after adaptation.
    """
    return grad_and_value(lambda theta: query(descend(support, theta, steps, rate, names)))(start)


def reptile_gradient(
    support: Loss, query: Loss, start: Parameters, steps: int, rate: float
) -> tuple[Parameters, Tensor]:
    r"""Return the direction away from where adaptation leads, :math:`(\theta - \varphi_k) / (\alpha k)`.

    First-order (Nichol et al. 2018, arXiv:1803.02999); `query` is only measured, not differentiated.
    """
    adapted = descend(support, start, steps, rate)
    gradient = {name: (value - adapted[name]) / (rate * max(steps, 1)) for name, value in start.items()}
    return gradient, query(adapted)


def imaml_gradient(
    support: Loss,
    query: Loss,
    start: Parameters,
    steps: int,
    rate: float,
    pull: float,
    iterations: int,
) -> tuple[Parameters, Tensor]:
    r"""Return the gradient of the loss at the end of a pulled adaptation, whatever way led there.

    .. math:: \varphi^* = \arg\min_\varphi L_S(\varphi) + \tfrac{\lambda}{2} \| \varphi - \theta \|^2, \quad
              \nabla_\theta L_Q(\varphi^*) =
              (I + \tfrac{1}{\lambda} \nabla^2 L_S(\varphi^*))^{-1} \nabla L_Q(\varphi^*)

    The inner problem is solved with `steps` proximal gradient steps, the linear system with at most
    `iterations` of conjugate gradients (Rajeswaran et al. 2019, arXiv:1909.04630). :math:`\lambda` is
    `pull`.
    """
    adapted = dict(start)
    for _ in range(steps):
        adapted, _ = pulled_step(support, adapted, start, rate, pull)
    gradient, value = grad_and_value(query)(adapted)
    _, curvature = vjp(grad(support), adapted)[:2]

    def system(vector: Parameters) -> Parameters:
        bent = curvature(vector)[0]
        return {name: item + bent[name] / pull for name, item in vector.items()}

    return conjugate_gradients(system, gradient, iterations), value


def conjugate_gradients(
    system: Callable[[Parameters], Parameters], right: Parameters, iterations: int
) -> Parameters:
    """Solve `system(x) = right`, symmetric, from zero (Hestenes & Stiefel 1952).

    Ends early at the solution, or where the system bends downwards: a network's may, a little.
    """
    solution = {name: torch.zeros_like(value) for name, value in right.items()}
    residual, direction = dict(right), dict(right)
    size = first = _dot(residual, residual)
    for _ in range(iterations):
        image = system(direction)
        bend = _dot(direction, image)
        if bend <= 0 or size <= 1e-12 * first:
            break
        length = size / bend
        solution = {name: value + length * direction[name] for name, value in solution.items()}
        residual = {name: value - length * image[name] for name, value in residual.items()}
        before, size = size, _dot(residual, residual)
        direction = {name: value + size / before * direction[name] for name, value in residual.items()}
    return solution


def _dot(one: Parameters, other: Parameters) -> Tensor:
    return torch.stack([(value * other[name]).sum() for name, value in one.items()]).sum()
