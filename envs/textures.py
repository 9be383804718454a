"""The texture bank: procedural patterns, and photographs shipped by scikit-image, as tileable squares."""

import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from envs.parameters import TEXTURES

TEXTURE_SIZE = 128
_PHOTOGRAPHS = {
    "brick": "brick.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "coffee": "coffee.png",
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "rocket": "rocket.jpg",
}


@functools.cache
def texture(name: str) -> NDArray[np.float32]:
    """Return one texture in 0..1, mean about 0.5: (128, 128) if grey, (128, 128, 3) RGB if not."""
    if name in _PHOTOGRAPHS:
        image = _photograph(name)
        return image[..., 0].copy() if np.ptp(image, axis=-1).max() == 0 else image
    return _procedural(name)


def _photograph(name: str) -> NDArray[np.float32]:
    import skimage  # only the folder of its data is needed; its readers are slow to import

    path = Path(skimage.__file__).parent / "data" / _PHOTOGRAPHS[name]
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"scikit-image does not ship {path.name} any more ({path})")
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = cv2.cvtColor(image[top : top + side, left : left + side], cv2.COLOR_BGR2RGB)
    half = cv2.resize(square, (TEXTURE_SIZE // 2,) * 2, interpolation=cv2.INTER_AREA)
    # Mirrored halves meet without a seam, so the photograph can be tiled.
    tile = np.concatenate([half, half[:, ::-1]], axis=1)
    tile = np.concatenate([tile, tile[::-1]], axis=0).astype(np.float32) / 255
    return np.clip(tile * (0.5 / max(float(tile.mean()), 0.2)), 0, 1)


def _procedural(name: str) -> NDArray[np.float32]:
    rng = np.random.default_rng(TEXTURES.index(name))  # fixed: the bank is part of the code
    grey: Any
    row, column = np.mgrid[:TEXTURE_SIZE, :TEXTURE_SIZE] / TEXTURE_SIZE
    if name == "plain":
        grey = np.full(row.shape, 0.5)
    elif name == "noise":
        grey = sum(_smooth_noise(rng, 2**octave) / 2**octave for octave in (1, 2, 3)) + 0.5
    elif name == "stripes":
        grey = 0.5 + 0.4 * np.sign(np.sin(2 * np.pi * 8 * column)) * np.ones_like(row)
    elif name == "checker":
        grey = 0.5 + 0.4 * np.sign(np.sin(2 * np.pi * 4 * column) * np.sin(2 * np.pi * 4 * row))
    else:  # speckle
        grey = 0.5 + 0.5 * _smooth_noise(rng, 32)
    return np.clip(grey, 0, 1).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, cells: int) -> NDArray[np.float64]:
    """Return periodic noise in about -0.5..0.5 with `cells` bumps along the edge."""
    coarse = np.pad(rng.uniform(-0.5, 0.5, (cells, cells)), 2, mode="wrap")
    scale = TEXTURE_SIZE // cells
    fine: Any = cv2.resize(coarse, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return fine[2 * scale : -2 * scale, 2 * scale : -2 * scale]
