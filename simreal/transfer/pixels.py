r"""Pixel-level: source images are changed until they look like the target's, and keep their labels.

All minimize the source loss :math:`E_{D_S} \| h(f(c(o))) - a \|^2` from the source weights, on images
changed by :math:`c`: half of every batch; the other half stays, so that what worked goes on working.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from policies import Policy
from simreal.data.batch import Batch
from simreal.images import convolve, draw_convolutions, fourier_transfer, match_colours
from simreal.transfer.base import BATCH_SIZE, Method, Problem, Report
from simreal.transfer.loop import fit_drawn, frames_of, source_of

_RATE = 5e-4
Change = Callable[[Tensor, np.random.Generator], Tensor]


def fourier(problem: Problem, report: Report, beta: float = 0.06) -> Policy:
    r"""Take the target's low-frequency amplitudes (`images.fourier_transfer`): its light and haze.

    .. math:: c(o) = F^{-1}\left( [M_\beta \circ A(y) + (1 - M_\beta) \circ A(o)] \, e^{i P(o)} \right)

    with amplitude A and phase P of the spectra of source images :math:`o` and of random target frames
    :math:`y`, (B, H, W, 3), and :math:`M_\beta` one at the lowest frequencies. `beta` 0 changes nothing;
    0.06 exchanges the means and the three lowest frequencies of an image of 64 pixels. Exists for shifts
    of light and of haze, such as a veil over the whole image, with shapes unchanged. Yang and Soatto
    2020, arXiv:2004.05498.
    """
    frames = frames_of(problem)

    def change(images: Tensor, rng: np.random.Generator) -> Tensor:
        style = frames.batch(rng, len(images)).observation["image"]
        return fourier_transfer(images, style, beta)

    return _on_changed_source(problem, report, change)


def color_match(problem: Problem, report: Report, share: float = 1.0) -> Policy:
    r"""Take the target's mean colour and covariance of colours (`images.match_colours`).

    .. math:: c(o) = \rho \, (\mu_y + T (o - \mu_o)) + (1 - \rho) \, o, \quad T \Sigma_o T = \Sigma_y

    with mean :math:`\mu` (3,) and covariance :math:`\Sigma` (3, 3) of the pixels of each source image
    :math:`o` and of a random target frame :math:`y`, (B, H, W, 3), and :math:`\rho` the `share`. Exists for
    shifts of a camera's colours, such as white balance, contrast, or a tint of every pixel alike.
    Pitie and Kokaram 2007, doi:10.1049/cp:20070055.
    """
    frames = frames_of(problem)

    def change(images: Tensor, rng: np.random.Generator) -> Tensor:
        style = frames.batch(rng, len(images)).observation["image"]
        return match_colours(images, style) * share + images * (1 - share)

    return _on_changed_source(problem, report, change)


def random_conv(problem: Problem, report: Report, largest: int = 5) -> Policy:
    r"""Convolve source images at random (`images.convolve`), so that shapes are all that tells.

    .. math:: c(o) = \alpha o + (1 - \alpha) \, (o * \Theta), \quad \alpha \sim U(0, 1), \;
              \Theta_{ijuv} \sim N(0, 1 / (3 k^2))

    with images :math:`o` (B, H, W, 3) about mid-grey, and a kernel :math:`\Theta` (3, 3, k, k) for each,
    k odd and up to `largest`; 0 convolves nothing. It looks at no target frame: the same policy serves
    every target. Exists for shifts of contrast, texture and colour that nobody has seen yet, such as a
    faint image. Xu et al. 2021, arXiv:2007.13003.
    """

    def change(images: Tensor, rng: np.random.Generator) -> Tensor:
        if largest == 0:
            return images
        return convolve(images, draw_convolutions(rng, len(images), images.shape[-1], largest))

    return problem.once("convolved", lambda: _on_changed_source(problem, report, change))


def _on_changed_source(problem: Problem, report: Report, change: Change) -> Policy:
    source = source_of(problem)

    def draw(rng: np.random.Generator) -> Batch:
        batch = source.batch(rng, BATCH_SIZE)
        images = batch.observation["image"].clone()
        images[::2] = change(images[::2].float(), rng).round().clamp(0, 255).to(torch.uint8)
        return dataclasses.replace(batch, observation=batch.observation | {"image": images})

    return fit_drawn(problem, report, draw, _RATE)


METHODS_OF_FAMILY = (
    Method(
        "fourier", "pixel-level", "transductive", ("source data", "unlabelled frames"),
        "pixels", "Yang and Soatto 2020, arXiv:2004.05498", fourier,
    ),
    Method(
        "color-match", "pixel-level", "transductive", ("source data", "unlabelled frames"),
        "pixels", "Pitie and Kokaram 2007, doi:10.1049/cp:20070055", color_match,
    ),
    Method(
        "random-conv", "pixel-level", "transductive", ("source data",),
        "pixels", "Xu et al. 2021, arXiv:2007.13003", random_conv,
    ),
)  # fmt: skip
