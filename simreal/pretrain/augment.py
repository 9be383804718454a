r"""Domain generalization: what pretraining does to images so that targets nobody has seen look familiar.

| `--augment` | images of a batch |
|---|---|
| `none` | all in the nominal appearance |
| `domain` | each in an appearance drawn from the source domain |
| `random-conv` | as `domain`, every second one convolved at random (Xu et al. 2021, arXiv:2007.13003) |
| `overlay` | as `domain`, every second one under a texture (Hansen and Wang 2021, arXiv:2011.13389) |
| `consistency` | as `domain`, and copies of every second one, convolved or under a texture, unlabelled |

The last one adds :math:`\| \bar f(c(o)) - \mathrm{sg}\, \bar f(o) \|^2 / F` over normalized features
(B, F) of originals and copies, after SODA (Hansen and Wang 2021). As in SVEA (Hansen et al. 2021,
arXiv:2107.00644) the labels teach the unchanged images alone, so that learning them stays as steady.
"""

import dataclasses
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from envs import Domain
from envs.parameters import TEXTURES
from envs.textures import texture
from simreal.data.batch import Batch, concatenate, unlabelled
from simreal.images import convolve, draw_convolutions, overlay
from simreal.learning import Seen, Term
from simreal.transfer.divergences import normalized

Augment = Literal["none", "domain", "random-conv", "overlay", "consistency"]
AUGMENTATIONS: tuple[Augment, ...] = get_args(Augment)
_WEIGHT = 0.1  # of the consistency loss


def seen_domain(domain: Domain, augment: Augment) -> Domain:
    """Return the domain whose appearances pretraining shows: for `none` without any of its own."""
    if augment != "none":
        return domain
    kept = {
        key: distribution
        for key, distribution in domain.distributions.items()
        if not key.startswith(("appearance.", "sensing.image_"))
    }
    return dataclasses.replace(domain, distributions=kept)


def augmented(batch: Batch, augment: Augment, rng: np.random.Generator) -> Batch:
    """Return what a gradient step sees of a composed batch."""
    if augment in ("none", "domain"):
        return batch
    images = batch.observation["image"]
    changed = _changed(images[::2], augment, rng)
    if augment != "consistency":
        images = images.clone()
        images[::2] = changed
        return dataclasses.replace(batch, observation=batch.observation | {"image": images})
    copies = {name: value[::2] for name, value in batch.observation.items()} | {"image": changed}
    return concatenate(batch, unlabelled(Batch(copies, batch.action[::2], {})))


def terms(augment: Augment) -> tuple[Term, ...]:
    """Return the further losses of an augmentation."""
    return (consistency,) if augment == "consistency" else ()


def consistency(seen: Seen) -> Tensor:
    """Return how far the features of the changed copies, at the end of the batch, are from the originals'."""
    count = int((~seen.batch.action.isfinite().all(dim=1)).sum())
    labelled = len(seen.batch) - count
    original = normalized(seen.feature[:labelled:2]).detach()
    return _WEIGHT * functional.mse_loss(normalized(seen.feature[labelled:]), original)


def _changed(images: Tensor, augment: Augment, rng: np.random.Generator) -> Tensor:
    if augment == "random-conv" or (augment == "consistency" and rng.random() < 0.5):
        return convolve(images, draw_convolutions(rng, len(images), images.shape[-1]))
    return overlay(images, _textures(rng, *images.shape[:3]))


def _textures(rng: np.random.Generator, count: int, height: int, width: int) -> Tensor:
    """Return randomly turned and placed textures, uint8 (count, H, W, 3)."""
    found = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        pattern = texture(str(rng.choice(TEXTURES)))
        pattern = np.roll(np.rot90(pattern, int(rng.integers(4))), rng.integers(len(pattern), size=2), (0, 1))
        side = int(rng.integers(len(pattern) // 4, len(pattern) + 1))
        part = cv2.resize(pattern[:side, :side], (width, height), interpolation=cv2.INTER_AREA)
        colour = rng.uniform(0.5, 1.5, 3)
        found[index] = np.clip(part.reshape(height, width, -1) * colour * 255, 0, 255)
    return torch.from_numpy(found)
