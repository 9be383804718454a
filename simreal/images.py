"""Changes of whole images that keep every pixel's place: what is drawn is apart from what is applied.

Images are float32 (B, H, W, C) from 0 to 255 or uint8; results are of the kind that was given.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def fourier_transfer(images: Tensor, style: Tensor, beta: float) -> Tensor:
    r"""Give images the low-frequency amplitudes of others, and leave their phases.

    .. math:: F^{-1}\left( [M_\beta \circ A(y) + (1 - M_\beta) \circ A(x)] \, e^{i P(x)} \right)

    with amplitude A and phase P of the spectrum of each channel and :math:`M_\beta` one at
    frequencies of at most :math:`\lfloor \beta \min(H, W) \rfloor` along both axes. With `beta` 0 nothing
    is exchanged. Yang and Soatto 2020, arXiv:2004.05498.

    Args:
        images: :math:`x`, (B, H, W, C).
        style: :math:`y`, of the same shape.
        beta: Share of the image's size, from 0 to 0.5.
    """
    if beta == 0:
        return images
    height, width = images.shape[1:3]
    reach = int(beta * min(height, width))
    low = _frequencies(height, reach)[:, None] & _frequencies(width, reach)
    spectrum = torch.fft.fft2(images.float(), dim=(1, 2))
    other = torch.fft.fft2(style.float(), dim=(1, 2)).abs()
    amplitude = torch.where(low[None, :, :, None], other, spectrum.abs())
    mixed = torch.fft.ifft2(torch.polar(amplitude, spectrum.angle()), dim=(1, 2)).real
    return _like(mixed, images)


def match_colours(images: Tensor, style: Tensor) -> Tensor:
    r"""Give each image the mean colour and the colour covariance of another.

    .. math:: x \mapsto \mu_y + T (x - \mu_x), \quad T = \Sigma_x^{-1/2}
              (\Sigma_x^{1/2} \Sigma_y \Sigma_x^{1/2})^{1/2} \Sigma_x^{-1/2}

    the map between Gaussians that moves colours least (Monge-Kantorovich): Pitie and Kokaram 2007,
    doi:10.1049/cp:20070055. Every pixel of a colour gets the same new one.

    Args:
        images: :math:`x`, (B, H, W, C).
        style: :math:`y`, (B, H', W', C).
    """
    flat, other = images.float().flatten(1, 2), style.float().flatten(1, 2)
    mean, covariance = _moments(flat)
    other_mean, other_covariance = _moments(other)
    root = _power(covariance, 0.5)
    inverse = _power(covariance, -0.5)
    transport = inverse @ _power(root @ other_covariance @ root, 0.5) @ inverse
    moved = other_mean + (flat - mean) @ transport.float()
    return _like(moved.unflatten(1, images.shape[1:3]), images)


@dataclass(frozen=True, eq=False)
class Convolutions:
    """One drawn convolution for each image, and how much of the image stays."""

    kernels: Tensor
    """(B, C, C, k, k)."""
    kept: Tensor
    """(B, 1, 1, 1), from 0 to 1."""


def draw_convolutions(rng: np.random.Generator, count: int, channels: int, largest: int = 5) -> Convolutions:
    """Draw kernels of one odd size up to `largest`, of deviation 1 / sqrt(k k C)."""
    size = int(rng.choice(np.arange(1, largest + 1, 2)))
    shape = (count, channels, channels, size, size)
    kernels = rng.normal(0, (size * size * channels) ** -0.5, shape)
    kept = rng.uniform(0, 1, (count, 1, 1, 1))
    return Convolutions(torch.from_numpy(kernels).float(), torch.from_numpy(kept).float())


def convolve(images: Tensor, drawn: Convolutions) -> Tensor:
    r"""Mix each image with its convolution by a random kernel.

    .. math:: \alpha x + (1 - \alpha) \, (x * \Theta)

    about mid-grey, so that colours and fine texture change and shapes stay. Xu et al. 2021,
    arXiv:2007.13003.
    """
    count, _, _, channels = images.shape
    centred = images.float() - 127.5
    planes = centred.permute(0, 3, 1, 2).flatten(0, 1)[None]
    kernels = drawn.kernels.flatten(0, 1)
    padding = kernels.shape[-1] // 2
    padded = functional.pad(planes, (padding,) * 4, mode="replicate")
    mixed = functional.conv2d(padded, kernels, groups=count)[0].unflatten(0, (count, channels))
    result = drawn.kept * centred + (1 - drawn.kept) * mixed.permute(0, 2, 3, 1) + 127.5
    return _like(result, images)


def overlay(images: Tensor, others: Tensor, share: float = 0.5) -> Tensor:
    """Lay other images (B, H, W, C) over these: (1 - share) x + share y.

    Hansen and Wang 2021, arXiv:2011.13389.
    """
    return _like((1 - share) * images.float() + share * others.float(), images)


def _frequencies(size: int, reach: int) -> Tensor:
    """Tell which of `size` frequencies, in the order of the FFT, are at most `reach`; bool (size,)."""
    return torch.fft.fftfreq(size, 1 / size).abs().round() <= reach


def _moments(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (B, 1, C) and covariance (B, C, C), float64, of pixels (B, P, C)."""
    mean = flat.mean(dim=1, keepdim=True)
    centred = (flat - mean).double()
    return mean, centred.transpose(1, 2) @ centred / flat.shape[1]


def _power(matrices: Tensor, exponent: float) -> Tensor:
    """Return a power of symmetric matrices (B, C, C); flat directions count as a quarter grey level."""
    values, vectors = torch.linalg.eigh(matrices)
    return (vectors * values.clamp_min(0.0625)[:, None] ** exponent) @ vectors.transpose(1, 2)


def _like(result: Tensor, images: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return result.round().clamp(0, 255).to(torch.uint8)
    return result
