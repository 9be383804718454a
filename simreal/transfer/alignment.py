r"""Feature alignment: the encoder makes source and target look alike, and goes on solving the source.

All four minimize, over encoder :math:`f` and head :math:`h`,

.. math:: E_{(o, a) \sim D_S} \| h(f(o)) - a \|^2 + \lambda \, d\big(\bar f(D_S), \bar f(D_T)\big)

from the source weights, on 64 labelled frames of the source and 64 unlabelled ones of the target, with
:math:`\bar f` the feature (B, F) normalized over its own elements (`divergences.normalized`), and differ
in the distance :math:`d`. None knows which target frame belongs to which source frame: where the two
domains visit different states, they align what should stay apart, and the check must decide.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies import Policy
from simreal.learning import Seen, Term
from simreal.transfer.base import Method, Problem, Report
from simreal.transfer.divergences import coral_loss, median_bandwidths, mmd_loss, normalized, rsd_loss
from simreal.transfer.loop import by_domain, fit_drawn, source_beside_frames

# The weights of d below are defaults chosen by hand; no search that led to them is on record.
_RATE = 1e-3
_DIRECTIONS = 16  # of 64 or 128: what 64 frames tell of the features' subspace beyond these is chance


def coral(problem: Problem, report: Report, weight: float = 10.0) -> Policy:
    r"""Align second moments (`divergences.coral_loss`).

    .. math:: d = \frac{1}{4 F^2} \| C_S - C_T \|_F^2

    with :math:`C` (F, F) the covariance of normalized features (B, F). Exists for shifts that mix or
    rescale what the images show as a whole, such as another contrast.
    Sun and Saenko 2016, arXiv:1607.01719.
    """

    def term(seen: Seen) -> Tensor:
        source, target = _normalized_by_domain(seen)
        return weight * coral_loss(source, target)

    return fit_drawn(problem, report, source_beside_frames(problem), _RATE, [term])


def mmd(problem: Problem, report: Report, weight: float = 1.0) -> Policy:
    r"""Align distributions: d is the maximum mean discrepancy (`divergences.mmd_loss`).

    .. math:: d = \frac{1}{5} \sum_i \big( E k_i(s, s') + E k_i(t, t') - 2 E k_i(s, t) \big), \quad
              k_i(x, y) = e^{-\|x - y\|^2 / (2 \sigma_i^2)}

    over normalized features s of the source and t of the target, (B, F) each, with five bandwidths
    :math:`\sigma` about the median distance, detached. Exists for shifts that move the mean of the features
    and their shape, such as another brightness. Long et al. 2015, arXiv:1502.02791.
    """

    def term(seen: Seen) -> Tensor:
        source, target = _normalized_by_domain(seen)
        return weight * mmd_loss(source, target, median_bandwidths(source, target))

    return fit_drawn(problem, report, source_beside_frames(problem), _RATE, [term])


def rsd(problem: Problem, report: Report, weight: float = 0.01) -> Policy:
    r"""Align subspaces: d sums the sines of the principal angles (`divergences.rsd_loss`).

    .. math:: d = \sum_i \sin \theta_i + 0.01 \, \big\| |P_S| - |P_T| \big\|_F, \quad
              U_S^\top U_T = P_S \cos(\Theta) P_T^\top

    with :math:`U` (F, 16) the main directions of normalized features (B, F). Made for regression: it leaves
    the scale of the features alone. Exists for shifts that turn the features into other directions, such
    as light that falls from one side.
    Chen et al. 2021, PMLR 139:1749.
    """

    def term(seen: Seen) -> Tensor:
        source, target = _normalized_by_domain(seen)
        return weight * rsd_loss(source, target, _DIRECTIONS)

    return fit_drawn(problem, report, source_beside_frames(problem), _RATE, [term])


def dann(problem: Problem, report: Report, weight: float = 0.003) -> Policy:
    r"""Align until a discriminator :math:`g` cannot tell the domains apart.

    .. math:: \min_{f, h} \max_g \; E_S \| h(f(o)) - a \|^2
              + \lambda_p \big( E_S \log g(\bar f(o)) + E_T \log (1 - g(\bar f(o))) \big)

    with :math:`g`, (B, F) -> (B,), behind a layer that turns its gradient around, and
    :math:`\lambda_p = \lambda \, (2 / (1 + e^{-10 p}) - 1)` over the progress p. Exists for shifts that no
    low moments tell, such as one that affects some frames and not others.
    Ganin et al. 2016, arXiv:1505.07818.
    """
    torch.manual_seed(problem.seed)
    discriminator = Discriminator(problem.policy.config.encoder.feature_size)
    term = adversarial_term(discriminator, weight)
    return fit_drawn(problem, report, source_beside_frames(problem), _RATE, [term], [discriminator])


def adversarial_term(discriminator: nn.Module, weight: float) -> Term:
    """Return the loss of a discriminator, whose gradient reaches the encoder turned around."""

    def term(seen: Seen) -> Tensor:
        source, target = _normalized_by_domain(seen)
        progress = torch.tensor(seen.progress)
        strength = weight * float(2 / (1 + torch.exp(-10 * progress)) - 1)
        guess = discriminator(reverse_gradient(torch.cat([source, target]), strength))
        truth = torch.cat([torch.ones(len(source)), torch.zeros(len(target))])
        return functional.binary_cross_entropy_with_logits(guess, truth)

    return term


class Discriminator(nn.Module):
    """Feature (B, F) to the log-odds (B,) that it comes from the source."""

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(feature_size, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, feature: Tensor) -> Tensor:
        """Return the log-odds."""
        return self.layers(feature)[:, 0]


def reverse_gradient(feature: Tensor, strength: float) -> Tensor:
    """Return the feature as it is; its gradient comes back times minus `strength`."""
    return feature.detach() + strength * (feature.detach() - feature) if strength else feature.detach()


def _normalized_by_domain(seen: Seen) -> tuple[Tensor, Tensor]:
    source, target = by_domain(seen)
    return normalized(source), normalized(target)


METHODS_OF_FAMILY = tuple(
    Method(
        name, "feature alignment", "transductive", ("source data", "unlabelled frames"),
        "encoder and head", paper, run,
    )
    for name, paper, run in (
        ("coral", "Sun and Saenko 2016, arXiv:1607.01719", coral),
        ("mmd", "Long et al. 2015, arXiv:1502.02791", mmd),
        ("dann", "Ganin et al. 2016, arXiv:1505.07818", dann),
        ("rsd", "Chen et al. 2021, PMLR 139:1749", rsd),
    )
)  # fmt: skip
