"""Residual adaptation: the source policy stays as it is, and a small head adds what it lacks."""

import dataclasses

import torch
from torch import Tensor, nn

from policies import Policy
from policies.encoders import Activation, mlp
from policies.heads import PolicyHead
from simreal.learning import Learner
from simreal.transfer.base import Method, Problem, Report, fit

WIDTH = 32


class ResidualHead(nn.Module):
    """A head (B, F) -> (B, A) beside a frozen one; at first the zero function."""

    def __init__(
        self, base: PolicyHead, activation: Activation, width: int = WIDTH, gain: float = 1.0
    ) -> None:
        """Put a correction beside `base`.

        Args:
            base: The head that stays as it is.
            activation: Of its hidden layers, and of the correction's.
            width: Of each hidden layer of the correction, which has as many as `base`.
            gain: Factor on the correction; 0 leaves the source policy.
        """
        super().__init__()
        self.base, self.gain = base, gain
        layers: list[nn.Linear] = [*_linear(base.hidden), base.output]
        self.hidden = mlp((layers[0].in_features, *(width for _ in layers[:-1])), activation)
        self.output = nn.Linear(width if len(layers) > 1 else layers[0].in_features, layers[-1].out_features)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def correction(self, feature: Tensor) -> Tensor:
        """Return what is added to the raw action, (B, A)."""
        return self.gain * self.output(self.hidden(feature))

    def forward(self, feature: Tensor) -> Tensor:
        """Return the corrected raw action, (B, A)."""
        return self.base(feature) + self.correction(feature)


def residual(problem: Problem, report: Report, *, width: int = WIDTH, gain: float = 1.0) -> Policy:
    r"""Learn a correction of the frozen policy's action, from the feature that it has anyway.

    .. math:: \min_\psi E_{D_T} \| h_{\phi_S}(z) + g \, r_\psi(z) - a \|^2, \quad z = f_{\theta_S}(o)

    with :math:`z` (B, F), :math:`r_\psi` a small head (B, F) -> (B, A) that starts as the zero function,
    and :math:`g` its `gain`; 0 is the source policy. The result is one ordinary head, `width` wider in
    each hidden layer, in which the source's weights stand unchanged. Exists for shifts that call for a
    small systematic correction, such as a gripper that sags or a bias of calibration.
    Silver et al. 2018, arXiv:1812.06298; Johannink et al. 2019, arXiv:1812.03201.
    """
    policy = problem.copy_of_policy()
    torch.manual_seed(problem.seed)
    head = ResidualHead(policy.head, policy.config.head.activation, width, gain)
    policy.head = head  # type: ignore[assignment]
    learned = [*head.hidden.parameters(), *head.output.parameters()]
    learner = Learner(policy, problem.learning(1e-3), trainable=learned)
    return merged(fit(learner, problem, report))


def merged(policy: Policy) -> Policy:
    """Return the policy with a `ResidualHead` as one with an ordinary head: the two side by side.

    Hidden layers are stacked, with zeros where one would see the other; the output layer adds them.
    """
    head: ResidualHead = policy.head  # type: ignore[assignment]
    base = [*_linear(head.base.hidden), head.base.output]
    beside = [*_linear(head.hidden), head.output]
    widths = tuple(a.out_features + b.out_features for a, b in zip(base[:-1], beside[:-1], strict=True))
    config = policy.config
    wide = Policy(
        dataclasses.replace(config, head=dataclasses.replace(config.head, hidden=widths)),
    )
    wide.encoder.load_state_dict(policy.encoder.state_dict())
    wide.auxiliary.load_state_dict(policy.auxiliary.state_dict())
    layers = [*_linear(wide.head.hidden), wide.head.output]
    with torch.no_grad():
        for depth, layer in enumerate(layers):
            _side_by_side(layer, base[depth], beside[depth], depth == 0, depth == len(layers) - 1, head.gain)
    return wide.eval()


def _side_by_side(
    layer: nn.Linear, base: nn.Linear, beside: nn.Linear, first: bool, last: bool, gain: float
) -> None:
    """Fill a layer of the wide head from the two layers that it stands for."""
    factor = gain if last else 1.0
    if first and last:
        layer.weight.copy_(base.weight + factor * beside.weight)
    elif first:
        layer.weight.copy_(torch.cat([base.weight, beside.weight]))
    elif last:
        layer.weight.copy_(torch.cat([base.weight, factor * beside.weight], dim=1))
    else:
        layer.weight.copy_(torch.block_diag(base.weight, beside.weight))
    joined = base.bias + factor * beside.bias if last else torch.cat([base.bias, beside.bias])
    layer.bias.copy_(joined)


def _linear(hidden: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in hidden if isinstance(layer, nn.Linear)]


METHODS_OF_FAMILY = (
    Method(
        "residual", "residual", "inductive", ("demonstrations",), "a small head beside the head",
        "Silver et al. 2018, arXiv:1812.06298", residual,
    ),
)  # fmt: skip
