"""`compose(layers, appearance)`: colour, texture, light and camera, put on the rendered layers.

Rendering costs milliseconds and appearance a fraction of one, so training stores layers and
composes a fresh appearance for every batch; the environment's own image takes the same path.
"""

import functools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.camera import BACKGROUND, DISTRACTOR, GOAL, OCCLUDER, ROBOT, SEGMENT_COUNT, TABLE, Layers
from envs.parameters import (
    CHANNEL_ORDERS,
    FIELDS,
    MAX_DISTRACTORS,
    Vector,
    WorldParameters,
)
from envs.textures import TEXTURE_SIZE, texture_bank

_CHUNK = 16  # frames at once, so that the working set stays in the cache: 1.5 times faster than 256
_BLUR_REFERENCE_PX = 64  # `image_blur_sigma_px` counts pixels of an image this wide
_NOISE_VALUES = 1 << 20
_KEYS = tuple(
    key for key in FIELDS if key.startswith("appearance.") or key.startswith("sensing.image_")
)
# RGB <-> YIQ (FCC NTSC 1953): hue turns in the IQ plane and leaves luminance alone.
_TO_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
)
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)


class Appearance:
    """How `count` frames look: a sampled appearance, apart from applying it, so it can be replayed."""

    def __init__(self, columns: dict[str, Any], noise_offset: NDArray[np.int64]) -> None:
        """Take columns as `Domain.sample_columns` gives them; parameters left out are nominal.

        Args:
            columns: Dotted name -> array (count,) or (count, n).
            noise_offset: int64 (count,), where the pixel noise of each frame starts.
        """
        self.count = len(noise_offset)
        self.noise_offset = noise_offset
        self._columns = {key: _numeric(key, columns[key]) for key in _KEYS if key in columns}
        self.palette = _palette(self)
        self.colour_matrix = _colour_matrix(self)

    @classmethod
    def of_world(cls, world: WorldParameters, noise_offset: int) -> "Appearance":
        """Take the appearance of one world for one frame."""
        columns = {}
        for key in _KEYS:
            group, name = key.split(".")
            value = getattr(getattr(world, group), name)
            if value != FIELDS[key].default:
                columns[key] = np.asarray([value])
        return cls(columns, np.asarray([noise_offset]))

    def __getitem__(self, name: str) -> Tensor:
        """Return one parameter, float32 (count,) or (count, n); a name is its index in the choices."""
        key = name if "." in name else f"appearance.{name}"
        if key in self._columns:
            return self._columns[key]
        default = _default(key)
        return default.expand(self.count, *default.shape[1:])

    def varies(self, *names: str) -> bool:
        """Tell whether one of these parameters is not nominal (else its stage is skipped)."""
        keys = (name if "." in name else f"appearance.{name}" for name in names)
        return any(key in self._columns for key in keys)


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
        return compose(layers[None], appearance)[0]
    if len(layers.shade) != appearance.count:
        raise ValueError(
            f"{len(layers.shade)} frames of layers for an appearance of {appearance.count}"
        )
    out = torch.empty((*layers.shade.shape, 3), dtype=torch.uint8)
    with torch.inference_mode():
        for start in range(0, appearance.count, _CHUNK):
            part = slice(start, start + _CHUNK)
            out[part] = _compose_chunk(layers[part], appearance, part)
    return out.numpy()


def _compose_chunk(layers: Layers, appearance: Appearance, part: slice) -> Tensor:
    """Return uint8 (B, H, W, 3). Pixels are flat, (B, 3, H*W), until the end."""
    count, size = layers.shade.shape[0], layers.shade.shape[1]
    segment = torch.from_numpy(layers.segment.reshape(count, 1, -1).astype(np.int64))
    shade = torch.from_numpy(layers.shade.reshape(count, 1, -1)).float() / 255
    albedo = appearance.palette[part].gather(2, segment.expand(-1, 3, -1))
    if appearance.varies("table_texture_strength", "background_texture_strength"):
        albedo *= _texture_factor(layers, segment, appearance, part)
    ambient = appearance["light_ambient"][part, None, None]
    # The background has no surface, hence no shade.
    light = torch.where(segment == BACKGROUND, 1.0, ambient + (1 - ambient) * shade)
    image = albedo * (light * appearance["light_gain"][part, None, None])
    if appearance.varies("glare_strength"):
        image += _glare(appearance, part, size)
    image = torch.bmm(appearance.colour_matrix[part], image).clamp_(0, 1)
    if appearance.varies("gamma"):
        image = image.pow_(appearance["gamma"][part, None, None])
    image = image.view(count, 3, size, size)
    if appearance.varies("sensing.image_blur_sigma_px"):
        sigma = appearance["sensing.image_blur_sigma_px"][part] * (size / _BLUR_REFERENCE_PX)
        image = _blur(image, sigma)
    if appearance.varies("sensing.image_noise_std"):
        std = appearance["sensing.image_noise_std"][part, None, None, None]
        image = image + std * _noise(appearance.noise_offset[part], image.shape)
    return (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1)


def _texture_factor(layers: Layers, segment: Tensor, appearance: Appearance, part: slice) -> Tensor:
    """Return what the patterns multiply the colour with, (B, 3, H*W), 1 where there is none.

    On the table the pattern lies at the pixel's position (x, y) on the surface; behind it, at the
    direction of view (y, z), so that both stay put when the camera moves.
    """
    count, size = layers.depth.shape[0], layers.depth.shape[1]
    camera = torch.from_numpy(layers.camera)
    rotation = camera[:, 3:12].view(count, 3, 3)
    rays = torch.matmul(rotation, _pixel_rays(size) * _ray_scale(camera[:, 12]))
    depth = torch.from_numpy(layers.depth.reshape(count, 1, -1)).float()
    table = segment == TABLE
    position = camera[:, :2, None] + depth * rays[:, :2]
    direction = rays[:, 1:] / torch.linalg.vector_norm(rays, dim=1, keepdim=True)
    pattern = torch.where(
        table,
        _lookup(position, "table_texture", "_m", appearance, part),
        _lookup(direction, "background_texture", "", appearance, part),
    )
    strength = torch.where(
        table,
        appearance["table_texture_strength"][part, None, None],
        appearance["background_texture_strength"][part, None, None],
    )
    strength = torch.where(table | (segment == BACKGROUND), strength, 0.0)
    return 1 + strength * (2 * pattern - 1)


def _lookup(where: Tensor, name: str, unit: str, appearance: Appearance, part: slice) -> Tensor:
    """Return the pattern, (B, 3, H*W), at the coordinates `where`, (B, 2, H*W)."""
    if name == "table_texture":
        angle = torch.deg2rad(appearance["table_texture_rotation_deg"][part])
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        where = torch.stack(
            [cos * where[:, 0] - sin * where[:, 1], sin * where[:, 0] + cos * where[:, 1]], 1
        )
    tile = where / appearance[f"{name}_size{unit}"][part, None, None]
    tile = tile + appearance[f"{name}_offset"][part, :, None]
    texel = (tile * TEXTURE_SIZE).floor().long() & (TEXTURE_SIZE - 1)
    first = appearance[name][part].long()[:, None] * TEXTURE_SIZE**2
    index = first + texel[:, 1] * TEXTURE_SIZE + texel[:, 0]
    return texture_bank()[index].permute(0, 2, 1)


@functools.cache
def _pixel_rays(size: int) -> Tensor:
    """Return (3, H*W): right, up, forward of each pixel's ray for a half field of view of 45 deg."""
    centre = (torch.arange(size) + 0.5) / size * 2 - 1
    up, right = torch.meshgrid(-centre, centre, indexing="ij")
    return torch.stack([right.reshape(-1), up.reshape(-1), torch.ones(size * size)])


def _ray_scale(tangent: Tensor) -> Tensor:
    return torch.stack([tangent, tangent, torch.ones_like(tangent)], 1)[:, :, None]


def _glare(appearance: Appearance, part: slice, size: int) -> Tensor:
    """Return the light of a round reflex, (B, 1, H*W)."""
    centre = (torch.arange(size) + 0.5) / size
    x, y = centre.repeat(size), centre.repeat_interleave(size)
    at = appearance["glare_position"][part]
    squared = (x - at[:, :1]) ** 2 + (y - at[:, 1:]) ** 2
    radius = appearance["glare_radius"][part, None]
    glow = torch.exp(-squared / (2 * radius**2))
    return (appearance["glare_strength"][part, None] * glow)[:, None]


def _blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Blur each frame (B, 3, H, W) with its own sigma (B,), in pixels; 0 leaves it as it is."""
    rows = torch.nonzero(sigma > 0.05).flatten()
    if len(rows) == 0:
        return image
    radius = max(2, math.ceil(2.5 * float(sigma.max())))
    offset = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-(offset**2) / (2 * sigma[rows, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]
    size = image.shape[-1]
    flat = image[rows].reshape(1, -1, size, size)
    flat = torch.nn.functional.pad(flat, (radius,) * 4, mode="replicate")
    flat = torch.nn.functional.conv2d(flat, kernel[:, :, :, None], groups=len(kernel))
    flat = torch.nn.functional.conv2d(flat, kernel[:, :, None, :], groups=len(kernel))
    return image.index_copy(0, rows, flat.view(len(rows), 3, size, size))


def _noise(offsets: NDArray[np.int64], shape: torch.Size) -> Tensor:
    """Return standard normal noise of `shape`, each frame a slice of one fixed bank."""
    values = shape[1] * shape[2] * shape[3]
    bank = _noise_bank()
    rolled = [bank[int(start) % (len(bank) - values) :][:values] for start in offsets]
    return torch.stack(rolled).view(shape)


@functools.cache
def _noise_bank() -> Tensor:
    return torch.randn(_NOISE_VALUES, generator=torch.Generator().manual_seed(0))


def _palette(appearance: Appearance) -> Tensor:
    """Return the colour of every segment, (count, 3, SEGMENT_COUNT)."""
    palette = torch.empty(appearance.count, 3, SEGMENT_COUNT)
    palette[:, :, BACKGROUND] = appearance["background_rgb"]
    palette[:, :, TABLE] = appearance["table_rgb"]
    palette[:, :, ROBOT] = appearance["robot_rgb"]
    palette[:, :, OCCLUDER] = appearance["occluder_rgb"]
    goal = _hsv_to_rgb(
        appearance["goal_hue_deg"], appearance["goal_saturation"], appearance["goal_value"]
    )
    palette[:, :, GOAL] = goal
    saturation, value = appearance["distractor_saturation"], appearance["distractor_value"]
    hues = appearance["distractor_hue_deg"]
    for index in range(MAX_DISTRACTORS):
        palette[:, :, DISTRACTOR + index] = _hsv_to_rgb(hues[:, index], saturation, value)
    return palette


def _hsv_to_rgb(hue_deg: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return RGB (count, 3) of hue, saturation and value (count,)."""
    phase = torch.stack([(shift + hue_deg / 60) % 6 for shift in (5, 3, 1)], 1)
    ramp = torch.minimum(phase, 4 - phase).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * ramp)


def _colour_matrix(appearance: Appearance) -> Tensor:
    """Return what the camera does to RGB, (count, 3, 3): balance, hue and chroma, channel order."""
    angle = torch.deg2rad(appearance["hue_shift_deg"])
    chroma = appearance["saturation_scale"]
    turn = torch.zeros(appearance.count, 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = chroma * angle.cos()
    turn[:, 1, 2] = -chroma * angle.sin()
    turn[:, 2, 1] = chroma * angle.sin()
    matrix = _FROM_YIQ @ turn @ _TO_YIQ @ torch.diag_embed(appearance["white_balance"])
    orders = torch.tensor([["rgb".index(letter) for letter in order] for order in CHANNEL_ORDERS])
    rows = orders[appearance["channel_order"].long()]
    return matrix.gather(1, rows[:, :, None].expand(-1, -1, 3))


def _numeric(key: str, values: Any) -> Tensor:
    choices = FIELDS[key].metadata.get("choices")
    if choices is not None:
        values = [choices.index(value) for value in np.asarray(values).tolist()]
    return torch.from_numpy(np.array(values, dtype=np.float32))


@functools.cache
def _default(key: str) -> Tensor:
    default: float | str | Vector = FIELDS[key].default
    return _numeric(key, [default])
