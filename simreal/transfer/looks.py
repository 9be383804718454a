r"""`looks`: how each demonstration looks, found from source frames of the same pose and the same goal.

Proprioception and actions mean the same in the source and in the target, whatever either looks like. So
source frames with a demonstration's pose and goal tell where its image shows what: a soft map of the
segments, the prior of a mixture of colours that is fitted to the demonstration's own pixels. As an atlas
serves medical images: Ashburner and Friston 2005, doi:10.1016/j.neuroimage.2005.02.018.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from envs.camera import BACKGROUND, DISTRACTOR, GOAL, ROBOT, TABLE
from envs.parameters import AppearanceParameters
from simreal.data.source import SourceData
from simreal.data.target import TargetData

Array = NDArray[np.float32]
SURFACES = (BACKGROUND, TABLE, ROBOT, GOAL)
_GOAL, _OTHER = SURFACES.index(GOAL), len(SURFACES)  # classes of the mixture; the last is everything else
_NEIGHBOURS = 12
_POSE, _ACTION, _PLACE = 0.5, 0.2, 0.15  # what counts as near: deviations, action units, deviations
_LAST = 4  # frames of a demonstration that tell its goal best: the nearer, the better
_FRAMES, _STEPS = 5, 8  # frames looked at; steps of each mixture
_VEIL_PX = 4.0  # finer light than this is not light, pixels of a 64-pixel image
_WHITE = 0.995
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Look:
    """How one demonstration looks, with the camera's colours; everything is a share of full scale."""

    surfaces: Array
    """(4, 3): colour of background, table, robot and goal, were they lit as the source is on average."""
    others: Array
    """(n, 3): colours of pixels that are none of these, such as of distractors; n may be 0."""
    veil: Array
    """(H, W, 1): white light on top that no surface explains, such as glare."""
    noise: float
    """Deviation of the noise of a pixel."""
    spread: float
    """Variance of the goal's colour: large where something else was taken for the goal, too."""

    def chromaticity(self) -> Array:
        """Return the surfaces' colours (4, 3) without their brightness."""
        return self.surfaces / (np.linalg.norm(self.surfaces, axis=1, keepdims=True) + np.float32(_TINY))

    def distinct(self) -> float:
        """Return how far the goal's chromaticity is from the nearest of the other surfaces'."""
        colours = self.chromaticity()
        return float(np.linalg.norm(colours[:_GOAL] - colours[_GOAL], axis=1).min())


def looks(source: SourceData, data: TargetData, gripper: tuple[int, ...] = ()) -> list[Look]:
    """Return the looks of demonstrations, without those that mistake their goal.

    Args:
        source: Layers and labels.
        data: Demonstrations.
        gripper: Which elements of the proprioception tell the pose; all if empty.
    """
    atlas = _Atlas(source, gripper)
    found = [_look(atlas, data.only(np.array([episode]))) for episode in np.unique(data.episode)]
    widest = 6 * np.median([look.spread for look in found]) + 0.002
    palest = 0.4 * np.median([look.distinct() for look in found])
    return _agreeing([look for look in found if look.spread <= widest and look.distinct() >= palest])


def _agreeing(found: list[Look]) -> list[Look]:
    """Leave out looks whose goal has a colour far from all others': something else was taken for it."""
    if len(found) < 3:
        return found
    goals = np.stack([look.chromaticity()[_GOAL] for look in found])
    apart = np.linalg.norm(goals[:, None] - goals, axis=2)
    nearest = np.partition(apart, 1, axis=1)[:, 1]  # the first is its own
    return [look for look, near in zip(found, nearest <= 3 * np.median(nearest) + 0.1, strict=True) if near]


class _Atlas:
    """The source's frames by pose and goal."""

    def __init__(self, source: SourceData, gripper: tuple[int, ...]) -> None:
        self._source, self._columns = source, list(gripper) or slice(None)
        self._pose = source.column("proprio")[:, self._columns]
        self._action, self._goal = source.column("action"), source.column("goal_position")
        self._near_pose = _POSE * self._pose.std(axis=0) + 1e-3
        self._near_goal = _PLACE * self._goal.std(axis=0).max() + 1e-3
        self.light = self._mean_light()

    def segments(self, data: TargetData) -> Array:
        """Return (T, H, W, 5): how likely a pixel of a demonstration is each surface, or another."""
        pose = data.proprio[:, self._columns]
        goal = self._goal_of(pose[-_LAST:], data.actions[-_LAST:])
        own = np.concatenate([self._pose / self._near_pose, self._goal / self._near_goal], axis=1)
        asked = np.concatenate(
            [pose / self._near_pose, np.broadcast_to(goal / self._near_goal, (len(pose), len(goal)))], axis=1
        )
        shown = np.stack([self._source.column("segment")[rows] for rows in _nearest(own, asked)])
        # What stands on the source's table stands elsewhere in the target.
        shown = np.where(np.isin(shown, SURFACES), shown, TABLE)
        prior = np.stack([(shown == surface).mean(axis=1) for surface in SURFACES], axis=-1)
        prior = np.stack([cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 0.8) for frame in prior])
        other = 0.1 * prior[..., [SURFACES.index(TABLE)]] + 0.002
        prior = np.concatenate([prior + 1e-4, other], axis=-1)
        result: Array = prior / prior.sum(axis=-1, keepdims=True)
        return result

    def _goal_of(self, pose: Array, action: Array) -> Array:
        """Return the goal (n,) for which the source does the same in the same pose."""
        own = np.concatenate([self._pose / self._near_pose, self._action / _ACTION], axis=1)
        asked = np.concatenate([pose / self._near_pose, action / _ACTION], axis=1)
        goals: Array = np.median(self._goal[_nearest(own, asked)], axis=(0, 1))
        return goals

    def _mean_light(self) -> dict[int, float]:
        """Return how brightly the source lights each segment, distractors as one, at nominal ambience."""
        rows = np.linspace(0, self._source.count - 1, min(300, self._source.count)).astype(np.int64)
        segment = np.minimum(self._source.column("segment")[rows], DISTRACTOR)
        shade = self._source.column("shade")[rows] / np.float32(255)
        ambient = AppearanceParameters().light_ambient
        light = {BACKGROUND: 1.0}
        for each in (*SURFACES[1:], DISTRACTOR):
            lit = shade[segment == each]
            light[each] = ambient + (1 - ambient) * (float(lit.mean()) if len(lit) else 1.0)
        return light


def _nearest(own: Array, asked: Array) -> NDArray[np.int64]:
    """Return for each row asked for (T, n) the nearest of one's own (N, n): their numbers (T, k)."""
    count = min(_NEIGHBOURS, len(own))
    distance = np.square(own[None] - asked[:, None]).sum(axis=2)
    return np.argpartition(distance, count - 1, axis=1)[:, :count]


def _look(atlas: _Atlas, data: TargetData) -> Look:
    prior = atlas.segments(data)
    rows = np.unique(np.linspace(0, len(data) - 1, _FRAMES).round().astype(np.int64))
    prior, images = prior[rows], data.images[rows].astype(np.float32) / np.float32(255)
    classes = prior.reshape(-1, prior.shape[-1])
    mean, share = _mixture(images.reshape(-1, 3), classes)
    veil = _veil(images, mean, share.reshape(prior.shape))
    telling = images.min(axis=-1).ravel() < _WHITE  # a pixel at its limit has lost its colour
    pixels = (images - veil).reshape(-1, 3)[telling]
    mean, share = _mixture(pixels, classes[telling])
    goal = share[:, _GOAL]
    spread = float((goal @ np.square(pixels - mean[_GOAL])).sum() / (goal.sum() + _TINY))
    others = pixels[share[:, _OTHER] > 0.9]
    distance = np.linalg.norm(others - mean[_GOAL], axis=1)
    others = others[distance > max(0.12, 3 * (spread / 3) ** 0.5)]  # the goal's own edges are no distractor
    light = np.array([[atlas.light[surface]] for surface in SURFACES], np.float32)
    surfaces = np.maximum(mean / light, 0)
    return Look(surfaces, others / np.float32(atlas.light[DISTRACTOR]), veil, _noise(images), spread)


def _mixture(pixels: Array, prior: Array) -> tuple[Array, Array]:
    """Fit a Gaussian colour to each surface, beside a uniform one for all else, by EM.

    Args:
        pixels: (n, 3).
        prior: (n, 5), of each pixel.

    Returns:
        Mean colours (4, 3), and the share of each class in each pixel (n, 5).
    """
    share = prior
    for step in range(_STEPS):
        fitted = [_gaussian(pixels, share[:, surface]) for surface in range(_OTHER)]
        if step == 0:  # where the goal is thought to be is mostly table: begin with what the table is not
            unlike = np.minimum(*(np.square((pixels - m) @ w).sum(axis=1) for m, w in fitted[1:_GOAL]))
            fitted[_GOAL] = _gaussian(pixels, prior[:, _GOAL] * np.minimum(unlike / 9, 1) ** 4, 2e-3)
        likely = [_density(pixels, *each) for each in fitted] + [np.ones(len(pixels), np.float32)]
        share = prior * np.stack(likely, axis=1)
        share /= share.sum(axis=1, keepdims=True) + np.float32(_TINY)
    return np.stack([mean for mean, _ in fitted]), share


def _gaussian(pixels: Array, weight: Array, least: float = 2e-4) -> tuple[Array, Array]:
    """Return the mean (3,) of weighted pixels and what whitens them (3, 3); `least` is added variance."""
    total = weight.sum() + np.float32(_TINY)
    mean = weight @ pixels / total
    apart = pixels - mean
    covariance = (weight[:, None] * apart).T @ apart / total + np.eye(3) * least
    return mean.astype(np.float32), np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)


def _density(pixels: Array, mean: Array, whiten: Array) -> Array:
    distance = np.square((pixels - mean) @ whiten).sum(axis=1)
    result: Array = np.exp(-0.5 * distance) * (np.linalg.det(whiten) * np.float32((2 * np.pi) ** -1.5))
    return result


def _veil(images: Array, mean: Array, share: Array) -> Array:
    """Return the smooth white light (H, W, 1) that the surfaces but for the goal leave unexplained."""
    surfaces = share[..., :_GOAL]
    weight = surfaces.sum(axis=-1, keepdims=True)
    left = (weight * images - surfaces @ mean[:_GOAL]).sum(axis=0)
    sigma = _VEIL_PX * len(left) / 64

    def smooth(values: Any) -> Any:
        return cv2.GaussianBlur(values, (0, 0), sigma).reshape(*left.shape[:2], -1)

    light = smooth(left) / (smooth(weight.sum(axis=0)) + 1e-3)
    light -= np.percentile(light, 10, axis=(0, 1))
    # Of all channels the darkest surface's tells most: the others are sooner at their limit.
    result: Array = np.maximum(light.max(axis=-1, keepdims=True), 0).astype(np.float32)
    return result


def _noise(images: Array) -> float:
    """Return the deviation of the noise, by the median second difference along the rows."""
    bend = 2 * images[:, :, 1:-1] - images[:, :, :-2] - images[:, :, 2:]
    return float(np.median(np.abs(bend)) / (0.6745 * 6**0.5))
