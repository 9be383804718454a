"""`compose(layers, appearance)`: colour, texture, light and camera, put on the rendered layers.

Rendering costs milliseconds and appearance a fraction of one, so training stores layers and
composes a fresh appearance for every batch; the environment's own image takes the same path.
A frame at a time through OpenCV keeps everything in the cache: measured at 64 pixels it is three
times as fast as batched tensors, and one frame costs the same alone.
"""

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from envs.camera import BACKGROUND, DISTRACTOR, GOAL, OCCLUDER, ROBOT, SEGMENT_COUNT, TABLE, Layers
from envs.parameters import CHANNEL_ORDERS, FIELDS, MAX_DISTRACTORS, WorldParameters
from envs.textures import TEXTURE_SIZE, texture

Array = NDArray[np.float32]
_BLUR_REFERENCE_PX = 64  # `image_blur_sigma_px` counts pixels of an image this wide
_NOISE_VALUES = 1 << 20
_KEYS = tuple(key for key in FIELDS if key.startswith("appearance.") or key.startswith("sensing.image_"))
_NAMES = {key: key.split(".")[1] for key in _KEYS}
_NOMINAL: dict[str, Any] = {name: FIELDS[key].default for key, name in _NAMES.items()}
# RGB <-> YIQ (FCC NTSC 1953): hue turns in the IQ plane and leaves luminance alone.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


class Appearance:
    """How `count` frames look: sampled apart from being applied, so that it can be replayed."""

    def __init__(
        self,
        columns: dict[str, NDArray[Any]],
        noise_offset: NDArray[np.int64],
        palette: Array | None = None,
    ) -> None:
        """Take columns as `Domain.sample_columns` gives them; parameters left out are nominal.

        Args:
            columns: Dotted name -> array (count,) or (count, n).
            noise_offset: int64 (count,), where the pixel noise of each frame starts.
            palette: (count, SEGMENT_COUNT, 3), the colours of all segments in place of the columns'.
        """
        self.count = len(noise_offset)
        self.noise_offset = noise_offset
        self._columns = columns
        self.colour_matrix = _colour_matrices(self)
        self.palette = _palettes(self) if palette is None else palette

    @classmethod
    def of_world(cls, world: WorldParameters, noise_offset: int) -> "Appearance":
        """Take the appearance of one world, for one frame."""
        columns = {}
        for key in _KEYS:
            group, name = key.split(".")
            value = getattr(getattr(world, group), name)
            if value != FIELDS[key].default:
                columns[key] = np.asarray([value])
        return cls(columns, np.asarray([noise_offset]))

    def column(self, name: str) -> NDArray[Any]:
        """Return one parameter for every frame, (count,) or (count, n)."""
        key = name if "." in name else f"appearance.{name}"
        if key in self._columns:
            return self._columns[key]
        default = np.asarray(FIELDS[key].default)
        return np.broadcast_to(default, (self.count, *default.shape))

    def __getitem__(self, index: int) -> "_Look":
        """Return the look of one frame."""
        values = _NOMINAL | {
            _NAMES[key]: column[index] for key, column in self._columns.items() if key in _NAMES
        }
        return _Look(self.palette[index], self.colour_matrix[index], int(self.noise_offset[index]), values)


@dataclass(frozen=True, eq=False)
class _Look:
    palette: Array
    """(SEGMENT_COUNT, 3) surface colours, before the camera."""
    colour_matrix: Array
    """(3, 3) what the camera does to a colour."""
    noise_offset: int
    values: dict[str, Any]


def noise_offsets(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Draw where the pixel noise of each frame starts, int64 (count,)."""
    return rng.integers(_NOISE_VALUES, size=count)


def compose(layers: Layers, appearance: Appearance) -> NDArray[np.uint8]:
    """Return the RGB image of layers under an appearance.

    Args:
        layers: One frame (H, W) or a batch (B, H, W); square.
        appearance: Of one frame, or of B.

    Returns:
        uint8 (H, W, 3) or (B, H, W, 3), RGB.
    """
    if layers.shade.ndim == 2:
        return _compose_frame(layers, appearance[0])
    if len(layers.shade) != appearance.count:
        raise ValueError(f"{len(layers.shade)} frames of layers for an appearance of {appearance.count}")
    out = np.empty((*layers.shade.shape, 3), dtype=np.uint8)
    for index in range(appearance.count):
        out[index] = _compose_frame(layers[index], appearance[index])
    return out


def _compose_frame(layers: Layers, look: _Look) -> NDArray[np.uint8]:
    values = look.values
    image: Any
    ambient = float(values["light_ambient"])
    light = layers.shade * np.float32((1 - ambient) / 255) + np.float32(ambient)
    light[layers.segment == BACKGROUND] = 1.0  # no surface, hence no shade
    light *= np.float32(values["light_gain"])
    pattern = _pattern(layers, values)
    if pattern is not None and pattern.ndim == 2:
        light *= pattern
    if pattern is None or pattern.ndim == 2:
        # Light has no colour, so the camera's matrix can act on eleven colours, not on each pixel.
        image = (look.palette @ look.colour_matrix.T).take(layers.segment, axis=0)
        image *= _thrice(light)
    else:
        image = look.palette.take(layers.segment, axis=0)
        image *= pattern
        image *= _thrice(light)
        image = cv2.transform(image, look.colour_matrix)
    if values["glare_strength"] > 0:
        image += _glare(values, len(image))[..., None] * look.colour_matrix.sum(axis=1)
    if values["gamma"] != 1:
        image = cv2.pow(_clip(image), float(values["gamma"]))
    sigma = float(values["image_blur_sigma_px"]) * len(image) / _BLUR_REFERENCE_PX
    if sigma > 0.05:
        image = cv2.GaussianBlur(_clip(image), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    if values["image_noise_std"] > 0:
        noise = _noise(look.noise_offset, image.shape)
        image = cv2.scaleAdd(noise, float(values["image_noise_std"]), _clip(image))
    image = _clip(image)
    image *= np.float32(255)
    image += np.float32(0.5)
    return image.astype(np.uint8)  # type: ignore[no-any-return]


def _thrice(channel: Any) -> Any:
    """Return (H, W) as (H, W, 3): numpy takes several times as long to broadcast along so short an axis."""
    return cv2.merge((channel, channel, channel))


def _clip(image: Any) -> Any:
    """Limit an image to [0, 1], in place."""
    return np.clip(image, 0, 1, out=image)


def _pattern(layers: Layers, values: dict[str, Any]) -> Array | None:
    """Return what the textures multiply the colours with: (H, W) if grey, (H, W, 3), or None.

    On the table a pattern lies at the pixel's position (x, y) on the surface; behind it, at the
    direction of view (y, z); both stay put when the camera moves.
    """
    factor: Array | None = None
    for name, segment in (("table_texture", TABLE), ("background_texture", BACKGROUND)):
        strength = values[f"{name}_strength"]
        if strength > 0:
            bank = texture(values[name])
            picked = bank.reshape(TEXTURE_SIZE**2, *bank.shape[2:]).take(
                _texels(layers, values, segment), axis=0
            )
            picked *= np.float32(2 * strength)
            picked += np.float32(1 - strength)
            factor = _merge(factor, picked, layers.segment == segment)
    return factor


def _texels(layers: Layers, values: dict[str, Any], segment: int) -> NDArray[np.int32]:
    """Return for each pixel (H, W) the flat index of its texel in the pattern of its segment."""
    size = len(layers.depth)
    rotation, tangent = layers.camera[3:12].reshape(3, 3), layers.camera[12]
    rays, radial = _pixel_rays(size)
    to_world = rotation * np.array([tangent, tangent, 1], np.float32)
    if segment == TABLE:
        name, axes, edge = "table_texture", slice(0, 2), values["table_texture_size_m"]
        angle = np.deg2rad(values["table_texture_rotation_deg"])
        length = layers.depth.reshape(1, -1).astype(np.float32)
        start = layers.camera[:2]
    else:
        name, axes, edge = "background_texture", slice(1, 3), values["background_texture_size"]
        angle, start = 0.0, np.zeros(2, np.float32)
        length = 1 / np.sqrt(1 + tangent**2 * radial)
    cos, sin = np.cos(angle) * TEXTURE_SIZE / edge, np.sin(angle) * TEXTURE_SIZE / edge
    turn = np.array([[cos, -sin], [sin, cos]], np.float32)
    # Many tiles away from zero, so that cutting the decimals is rounding down.
    first = turn @ start + np.float32(TEXTURE_SIZE) * (np.float32(512) + values[f"{name}_offset"])
    texel = (turn @ to_world[axes]) @ rays
    texel *= length
    texel += first[:, None].astype(np.float32)
    column, row = texel.astype(np.int32) & (TEXTURE_SIZE - 1)
    row *= TEXTURE_SIZE
    row += column
    return row.reshape(size, size)


def _merge(factor: Array | None, picked: Array, mask: NDArray[np.bool_]) -> Array:
    """Put `picked` where the mask is, keeping the rest; grey and coloured patterns may meet."""
    if factor is None:
        factor = np.ones_like(picked)
    if factor.ndim < picked.ndim:
        factor = _thrice(factor)
    if picked.ndim < factor.ndim:
        picked = _thrice(picked)
    merged: Any = cv2.copyTo(picked, mask.view(np.uint8), factor)
    return merged


@functools.cache
def _pixel_rays(size: int) -> tuple[Array, Array]:
    """Return (3, H*W): right, up, forward of each pixel's ray for a half field of view of 45 deg.

    And (1, H*W): the square of its distance from the optical axis.
    """
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    right, up = (axis.astype(np.float32).reshape(-1) for axis in np.meshgrid(centre, -centre))
    rays: Any = np.stack([right, up, np.ones_like(right)])
    return rays, (right**2 + up**2)[None]


def _glare(values: dict[str, Any], size: int) -> Array:
    """Return the light of a round reflex, (H, W)."""
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = values["glare_position"]
    width = np.float32(2 * values["glare_radius"] ** 2)
    across, down = np.exp(-((centre - x) ** 2) / width), np.exp(-((centre - y) ** 2) / width)
    return (np.float32(values["glare_strength"]) * np.outer(down, across)).astype(np.float32)


def _noise(offset: int, shape: tuple[int, ...]) -> Array:
    """Return standard normal noise of `shape`: a slice of one fixed bank."""
    values = int(np.prod(shape))
    bank = _noise_bank(max(_NOISE_VALUES, values + 1))
    start = offset % (len(bank) - values)
    return bank[start : start + values].reshape(shape)


@functools.cache
def _noise_bank(values: int) -> Array:
    return np.random.default_rng(0).standard_normal(values, dtype=np.float32)


def _palettes(appearance: Appearance) -> Array:
    """Return the colour of every segment, (count, SEGMENT_COUNT, 3)."""
    column = appearance.column
    palette = np.empty((appearance.count, SEGMENT_COUNT, 3), np.float32)
    palette[:, BACKGROUND] = column("background_rgb")
    palette[:, TABLE] = column("table_rgb")
    palette[:, ROBOT] = column("robot_rgb")
    palette[:, OCCLUDER] = column("occluder_rgb")
    palette[:, GOAL] = _hsv_to_rgb(column("goal_hue_deg"), column("goal_saturation"), column("goal_value"))
    palette[:, DISTRACTOR : DISTRACTOR + MAX_DISTRACTORS] = _hsv_to_rgb(
        column("distractor_hue_deg"),
        column("distractor_saturation")[:, None],
        column("distractor_value")[:, None],
    )
    return palette


def _hsv_to_rgb(hue_deg: NDArray[Any], saturation: NDArray[Any], value: NDArray[Any]) -> NDArray[Any]:
    """Return RGB (..., 3) of hue, saturation and value (...)."""
    phase = (np.array([5, 3, 1]) + np.asarray(hue_deg)[..., None] / 60) % 6
    ramp = np.clip(np.minimum(phase, 4 - phase), 0, 1)
    return np.asarray(value)[..., None] * (1 - np.asarray(saturation)[..., None] * ramp)


def _colour_matrices(appearance: Appearance) -> Array:
    """Return what the camera does to RGB, (count, 3, 3): balance, hue and chroma, channel order."""
    column = appearance.column
    angle, chroma = np.deg2rad(column("hue_shift_deg")), column("saturation_scale")
    turn = np.zeros((appearance.count, 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = chroma * np.cos(angle)
    turn[:, 1, 2] = -chroma * np.sin(angle)
    turn[:, 2, 1] = chroma * np.sin(angle)
    matrix = _FROM_YIQ @ turn @ _TO_YIQ * column("white_balance")[:, None, :]
    orders = {order: ["rgb".index(letter) for letter in order] for order in CHANNEL_ORDERS}
    rows = np.array([orders[str(order)] for order in column("channel_order")])
    return np.take_along_axis(matrix, rows[:, :, None], axis=1).astype(np.float32)
