"""Cameras: an immutable `CameraSpec`, and the `Layers` that one TinyRenderer call gives."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pybullet_utils.bullet_client import BulletClient

from envs.native import pybullet
from envs.parameters import SceneParameters

# Segments of `Layers.segment`.
BACKGROUND, TABLE, ROBOT, GOAL, OCCLUDER, DISTRACTOR = 0, 1, 2, 3, 4, 5
SEGMENT_COUNT = 11  # the distractors are 5 to 10
_NEAR_M, _FAR_M = 0.05, 4.0


@dataclass(frozen=True)
class CameraSpec:
    """A pinhole camera; positions in metres in the robot's base frame (x forward, z up)."""

    position_m: tuple[float, float, float]
    target_m: tuple[float, float, float]
    field_of_view_deg: float
    """Vertical; images are square."""
    roll_deg: float = 0.0

    def shifted(self, scene: SceneParameters) -> "CameraSpec":
        """Return this camera as the scene places it."""
        return CameraSpec(
            _add(self.position_m, scene.camera_position_offset_m),
            _add(self.target_m, scene.camera_target_offset_m),
            self.field_of_view_deg + scene.field_of_view_offset_deg,
            self.roll_deg + scene.camera_roll_deg,
        )

    def rotation(self) -> NDArray[np.float64]:
        """Return the (3, 3) matrix whose columns are the camera's right, up and forward axes."""
        forward = np.subtract(self.target_m, self.position_m)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        roll = math.radians(self.roll_deg)
        rolled_right = math.cos(roll) * right + math.sin(roll) * up
        return np.stack([rolled_right, np.cross(rolled_right, forward), forward], axis=1)


@dataclass(frozen=True, eq=False)
class Layers:
    """What the renderer gives before any colour; one frame or, with a leading axis, a batch."""

    shade: NDArray[np.uint8]
    """(..., H, W): diffuse light on a white surface."""
    segment: NDArray[np.uint8]
    """(..., H, W): which body, see the constants of this module."""
    depth: NDArray[np.float16]
    """(..., H, W): metres along the optical axis."""
    camera: NDArray[np.float32]
    """(..., 13): position (3, metres), rotation (9, row-major, columns right, up, forward), and the
    tangent of half the field of view."""

    def __getitem__(self, index: "int | slice | NDArray[np.int64]") -> "Layers":
        """Return the frames at `index` of a batch."""
        return Layers(self.shade[index], self.segment[index], self.depth[index], self.camera[index])


def stack(frames: list[Layers]) -> Layers:
    """Return single frames as one batch."""
    return Layers(
        np.stack([frame.shade for frame in frames]),
        np.stack([frame.segment for frame in frames]),
        np.stack([frame.depth for frame in frames]),
        np.stack([frame.camera for frame in frames]),
    )


class Camera:
    """Renders the layers of one simulation; the pose is fixed between calls of `place`."""

    def __init__(self, client: BulletClient, spec: CameraSpec, segments: NDArray[np.uint8]) -> None:
        """Use `segments` to turn a body's unique id into its segment."""
        if not client.isNumpyEnabled():
            raise ImportError("pybullet was built without NumPy: reinstall it with NumPy present")
        self._client = client
        self._nominal = spec
        # One entry more: the renderer's -1 (nothing) reads the last one.
        self._segments = np.append(segments, BACKGROUND).astype(np.uint8)
        self.place(SceneParameters())

    def place(self, scene: SceneParameters) -> None:
        """Move the camera and the lamp to where the scene wants them."""
        self.spec = self._nominal.shifted(scene)
        rotation = self.spec.rotation()
        position, fov = np.asarray(self.spec.position_m), self.spec.field_of_view_deg
        self._view = self._client.computeViewMatrix(
            position.tolist(), (position + rotation[:, 2]).tolist(), rotation[:, 1].tolist()
        )
        self._projection = self._client.computeProjectionMatrixFOV(fov, 1.0, _NEAR_M, _FAR_M)
        tangent = math.tan(math.radians(fov) / 2)
        self._pose = np.concatenate([position, rotation.ravel(), [tangent]]).astype(np.float32)
        azimuth, elevation = map(math.radians, (scene.light_azimuth_deg, scene.light_elevation_deg))
        self._light = (
            math.cos(azimuth) * math.cos(elevation),
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
        )

    def render(self, size: int) -> Layers:
        """Return the layers of the present moment, (size, size)."""
        _, _, rgba, buffer, bodies = self._client.getCameraImage(
            size,
            size,
            self._view,
            self._projection,
            lightDirection=self._light,
            lightAmbientCoeff=0.0,
            lightDiffuseCoeff=1.0,
            lightSpecularCoeff=0.05,
            shadow=0,
            renderer=pybullet.ER_TINY_RENDERER,
        )
        depth = _FAR_M * _NEAR_M / (_FAR_M - (_FAR_M - _NEAR_M) * buffer)
        return Layers(
            np.ascontiguousarray(rgba[..., 0]),
            self._segments[bodies],
            depth.astype(np.float16),
            self._pose,
        )


def _add(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = (a + b for a, b in zip(first, second, strict=True))
    return (x, y, z)
