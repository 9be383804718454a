"""How far two sets of features lie apart: differentiable, without a policy, a few lines each."""

import torch
from torch import Tensor
from torch.nn import functional

_SMALLEST = 1e-6  # below it a square root's gradient is no longer a number to step along


def normalized(feature: Tensor) -> Tensor:
    """Return features (B, F) with mean 0 and deviation 1 over their own elements.

    Alignment of raw features is cheapest by shrinking them, which a regression head takes as meaning;
    so what is aligned has a scale that cannot change. Nothing depends on the rest of the batch.
    """
    return functional.layer_norm(feature, feature.shape[1:])


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    r"""Return the squared distance between covariances of features (B, F) and (C, F).

    .. math:: \frac{1}{4 F^2} \| C_S - C_T \|_F^2

    with unbiased covariances. Sun and Saenko 2016, arXiv:1607.01719.
    """
    return (torch.cov(source.T) - torch.cov(target.T)).square().mean() / 4


def mmd_loss(source: Tensor, target: Tensor, bandwidths: Tensor) -> Tensor:
    r"""Return the squared maximum mean discrepancy of features (B, F) and (C, F).

    .. math:: \frac{1}{K} \sum_k \left( E k(s, s') + E k(t, t') - 2 E k(s, t) \right), \quad
              k(x, y) = e^{-\|x - y\|^2 / (2 \sigma_k^2)}

    with `bandwidths` :math:`\sigma`, (K,); the means take pairs of a sample with itself too.
    Gretton et al. 2012, JMLR 13:723; many bandwidths after Long et al. 2015, arXiv:1502.02791.
    """

    def kernel_mean(left: Tensor, right: Tensor) -> Tensor:
        distance = squared_distances(left, right)
        return torch.exp(-distance[None] / (2 * bandwidths.square()[:, None, None])).mean()

    return kernel_mean(source, source) + kernel_mean(target, target) - 2 * kernel_mean(source, target)


def median_bandwidths(source: Tensor, target: Tensor) -> Tensor:
    """Return a quarter, half, once, twice and four times the median distance between samples, (5,)."""
    with torch.no_grad():
        every = torch.cat([source, target])
        distance = squared_distances(every, every)
        apart = distance[~torch.eye(len(every), dtype=torch.bool)]
        median = apart.median().clamp_min(_SMALLEST).sqrt()
    return median * torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0])


def rsd_loss(source: Tensor, target: Tensor, directions: int | None = None, mismatch: float = 0.01) -> Tensor:
    r"""Return the representation subspace distance of features (B, F), as many of each.

    .. math:: \sum_i \sin \theta_i + \lambda \, \big\| |P_S| - |P_T| \big\|_F

    with :math:`U_S^\top U_T = P_S \cos(\Theta) P_T^\top`, where the orthonormal columns of :math:`U` (F, k)
    are the main directions of the features of a batch, in the order of their singular values. The first
    term turns the subspaces towards each other and never touches the features' scale, which carries the
    meaning in a regression; the second, with :math:`\lambda` = `mismatch`, keeps directions from changing
    places. All min(B, F) `directions` count in the paper, Chen et al. 2021, PMLR 139:1749, where F is far
    above B; where it is not, all of them span everything, and only the main ones can differ.
    """
    source, target = _differentiable(source), _differentiable(target)
    basis_source = torch.linalg.svd(source.T.double(), full_matrices=False)[0][:, :directions]
    basis_target = torch.linalg.svd(target.T.double(), full_matrices=False)[0][:, :directions]
    left, cosine, right = torch.linalg.svd(basis_source.T @ basis_target)
    sine = (1 - cosine.square()).clamp_min(_SMALLEST).sqrt()
    return (sine.sum() + mismatch * torch.linalg.norm(left.abs() - right.T.abs())).float()


def _differentiable(feature: Tensor) -> Tensor:
    """Return the features; a gradient that is no number is dropped on its way back.

    Singular vectors have no derivative where singular values meet, as they do in equal subspaces.
    """
    if feature.requires_grad:
        feature = feature + 0
        feature.register_hook(lambda gradient: torch.nan_to_num(gradient, 0.0, 0.0, 0.0))
    return feature


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """Return squared distances (B, C) of samples (B, F) and (C, F); zero has a gradient."""
    products = left @ right.T
    norms = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)
    return (norms - 2 * products).clamp_min(0)
