"""`Episode`: one recorded trajectory, the same in memory whatever format it came from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simreal.errors import SimrealError


@dataclass(frozen=True, eq=False)
class Episode:
    """One trajectory; row t holds the observation before action t."""

    images: NDArray[np.uint8]
    """(T, H, W, 3), RGB."""
    proprio: NDArray[np.float32]
    """(T, P)."""
    actions: NDArray[np.float32]
    """(T, A), in [-1, 1]."""
    rewards: NDArray[np.float32]
    """(T,): what action t earned."""
    timestamps: NDArray[np.float32]
    """(T,), seconds since the episode began."""
    success: bool
    """Whether the episode ended in success."""

    def __post_init__(self) -> None:
        """Check lengths, types and values.

        Raises:
            SimrealError: naming the field that is wrong.
        """
        wanted = {
            "images": (np.uint8, 4),
            "proprio": (np.float32, 2),
            "actions": (np.float32, 2),
            "rewards": (np.float32, 1),
            "timestamps": (np.float32, 1),
        }
        for name, (dtype, dimensions) in wanted.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions:
                raise SimrealError(
                    f"episode: {name}: {array.dtype} of {array.ndim} axes; "
                    f"wanted {np.dtype(dtype)} of {dimensions}"
                )
            if len(array) != len(self.actions) or len(array) == 0:
                raise SimrealError(f"episode: {name}: {len(array)} rows for {len(self.actions)} actions")
            if not np.isfinite(array).all():
                raise SimrealError(f"episode: {name}: holds a NaN or an infinity")

    def __len__(self) -> int:
        return len(self.actions)
