"""The family of domains that meta-transfer learns on: source frames as a sampled domain would show them."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from simreal.data.batch import Batch
from simreal.transfer.base import LabelledFrames, SourceAccess

SHIFT, ZOOM, TURN_DEG = 0.1, 1.25, 10.0  # of the camera: image widths, factor, degrees
TONE, BLUR_PX = 1.6, 1.2  # factor on light and gamma; pixels of a 64-pixel image
_CHANCE = 0.5  # that a domain differs in one respect: in all at once would be no robot's laboratory


@dataclass(frozen=True)
class Task:
    """Frames of one sampled domain, to adapt on and to judge the adaptation by."""

    support: Batch
    query: Batch
    description: NDArray[np.float32]
    """(D,): the domain in numbers of about 1, all zero at the source."""


Tasks = Callable[[np.random.Generator], Task]


@dataclass(frozen=True)
class CameraChange:
    """What one sampled domain does to every image: where the camera stands, and what colours it sees."""

    hue_deg: float = 0.0
    swapped: bool = False
    """Whether the second and third channel change places."""
    gain: float = 1.0
    gamma: float = 1.0
    blur_px: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    """Right and down, image widths."""
    zoom: float = 1.0
    turn_deg: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "CameraChange":
        """Draw a change; in each respect there may be none."""
        colour, tone, soft, place = rng.random(4) < _CHANCE
        factors = np.exp(rng.uniform(-1, 1, 3) * np.log([TONE, TONE, ZOOM]))
        drawn = cls(
            hue_deg=float(rng.uniform(-180, 180)) if colour else 0.0,
            swapped=bool(rng.random() < 0.25) if colour else False,
            blur_px=float(rng.uniform(0, BLUR_PX)) if soft else 0.0,
        )
        if tone:
            drawn = dataclasses.replace(drawn, gain=float(factors[0]), gamma=float(factors[1]))
        if place:
            right, down = rng.uniform(-SHIFT, SHIFT, 2)
            turn = float(rng.uniform(-TURN_DEG, TURN_DEG))
            drawn = dataclasses.replace(
                drawn, shift=(float(right), float(down)), zoom=float(factors[2]), turn_deg=turn
            )
        return drawn

    def described(self) -> NDArray[np.float32]:
        """Return the change in numbers of about 1, (10,); no change is all zero."""
        angle = np.deg2rad(self.hue_deg)
        tone = np.log([self.gain, self.gamma]) / np.log(TONE)
        place = [*np.divide(self.shift, SHIFT), np.log(self.zoom) / np.log(ZOOM), self.turn_deg / TURN_DEG]
        colour = [np.sin(angle), 1 - np.cos(angle), float(self.swapped)]
        # Single precision: autocast leaves a double alone, and bfloat16 weights refuse it.
        return np.asarray([*colour, *tone, self.blur_px / BLUR_PX, *place], np.float32)

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the images, uint8 (B, H, W, C), changed; colours only turn where there are three."""
        size = images.shape[1]
        values: Any = images.astype(np.float32) / 255
        if images.shape[-1] == 3 and (self.hue_deg or self.swapped):
            values = values @ self._colours().T
        if self.gain != 1 or self.gamma != 1:
            values = np.clip(values * self.gain, 0, 1) ** self.gamma
        if self.blur_px > 0.05:
            sigma = self.blur_px * size / 64
            values = _each(values, lambda image: cv2.GaussianBlur(image, (0, 0), sigma))
        if self.shift != (0.0, 0.0) or self.zoom != 1 or self.turn_deg:
            centre = ((size - 1) / 2, (size - 1) / 2)
            warp = cv2.getRotationMatrix2D(centre, self.turn_deg, self.zoom)
            warp[:, 2] += np.multiply(self.shift, size)
            values = _each(
                values,
                lambda image: cv2.warpAffine(image, warp, (size, size), borderMode=cv2.BORDER_REPLICATE),
            )
        return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _colours(self) -> NDArray[np.float32]:
        """Return the rotation by `hue_deg` about the grey axis, (3, 3), with channels swapped after it."""
        angle = np.deg2rad(self.hue_deg)
        axis = np.ones(3) / np.sqrt(3)
        cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        turned = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross  # Rodrigues
        return np.asarray(turned[[0, 2, 1]] if self.swapped else turned, np.float32)


def source_tasks(source: LabelledFrames, size: int) -> Tasks:
    """Return the family made of source frames: each task is one world of the source, its camera changed.

    Args:
        source: Frames with the right action. In its own simulation, all frames of a task have one
            appearance drawn from the source domain, as all frames of a target have.
        size: Frames of the support, and of the query.
    """

    def sample(rng: np.random.Generator) -> Task:
        frames = source.narrowed(rng) if isinstance(source, SourceAccess) else source
        both, change = frames.batch(rng, 2 * size), CameraChange.sample(rng)
        order = torch.from_numpy(rng.permutation(2 * size))  # the frames of a batch lie in order
        support, query = (_part(both, half, change) for half in (order[:size], order[size:]))
        return Task(support, query, change.described())

    return sample


def _part(batch: Batch, rows: torch.Tensor, change: CameraChange) -> Batch:
    observation = {name: value[rows] for name, value in batch.observation.items()}
    if "image" in observation:
        observation["image"] = torch.from_numpy(change.apply(observation["image"].numpy()))
    return Batch(observation, batch.action[rows], {})


def _each(images: NDArray[np.float32], function: Callable[[Any], Any]) -> NDArray[np.float32]:
    # OpenCV drops the axis of a single channel.
    return np.stack([function(image).reshape(image.shape) for image in images])
