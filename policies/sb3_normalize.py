"""Statistics of stable-baselines3's VecNormalize, for the normalizer inside a policy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.errors import Sb3Error
from policies.inert import array_of, name_of, read_inert, state_of
from policies.sb3_files import Arrays, read_bytes
from policies.sb3_spaces import SpaceEntry, SpaceInfo

_Values = NDArray[np.float64]
_LARGEST = float(np.finfo(np.float32).max)
_NORMALIZE = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize"


@dataclass(frozen=True)
class _Normalization:
    """Statistics of VecNormalize; under None those of an observation that is no Dict."""

    mean: dict[str | None, _Values]
    std: dict[str | None, _Values]
    clip: float


def statistics(spaces: SpaceInfo, normalize: Path | None) -> tuple[float | None, Arrays]:
    """Return the limit of normalized vectors, and mean and deviation as our encoder names them.

    Args:
        spaces: Of the model.
        normalize: What `VecNormalize.save` wrote; None for the identity without a limit.

    Raises:
        Sb3Error: if it is no such file, or normalizes what our encoder does not.
    """
    found = _read(normalize) if normalize is not None else None
    size = sum(entry.size for entry in spaces.vectors)
    mean, std = np.zeros(size), np.ones(size)
    if found is not None:
        start, keys = 0, {entry.key for entry in spaces.vectors}
        if strange := [key for key in found.mean if key not in keys]:
            raise Sb3Error(
                f"{normalize}: obs_rms of {strange[0] or 'one array'}: the model has no such vector"
            )
        for entry in spaces.vectors:
            part = slice(start, start + entry.size)
            mean[part], std[part] = _statistics_of(entry, found, f"{normalize}")
            start += entry.size
    arrays: Arrays = {
        "encoder.normalizer.mean": mean.astype(np.float32),
        "encoder.normalizer.std": std.astype(np.float32),
    }
    return (found.clip if found is not None else None), arrays


def _statistics_of(entry: SpaceEntry, found: _Normalization, where: str) -> tuple[_Values, _Values]:
    if entry.key in found.mean:
        mean, std = found.mean[entry.key].ravel(), found.std[entry.key].ravel()
        if len(mean) != entry.size or len(std) != entry.size:
            raise Sb3Error(f"{where}: obs_rms of {len(mean)} values for {entry.name} of {entry.size}")
        return mean, std
    # Our limit is on all vectors: one that was not normalized must lie within it anyway.
    if entry.limit > found.clip:
        raise Sb3Error(
            f"{where}: norm_obs_keys without {entry.name!r}, whose values up to {entry.limit:g} "
            f"would be clipped at {found.clip:g}: not supported"
        )
    return np.zeros(entry.size), np.ones(entry.size)


def _read(path: Path) -> _Normalization | None:
    """Read the pickle; None if observations were left as they are."""
    wrapper = read_inert(read_bytes(path), str(path))
    if name_of(wrapper) != _NORMALIZE:
        raise Sb3Error(f"{path}: holds a {name_of(wrapper)}, not a VecNormalize")
    state = state_of(wrapper, str(path))
    if not state.get("norm_obs", True):
        return None
    running = state.get("obs_rms")
    parts = running if isinstance(running, dict) else {None: running}
    epsilon, clip = (_number(state.get(key), f"{path}: {key}") for key in ("epsilon", "clip_obs"))
    mean, std = {}, {}
    for key, part in parts.items():
        where = f"{path}: obs_rms" + (f" of {key}" if key else "")
        values = state_of(part, where)
        mean[key] = array_of(values.get("mean"), f"{where}: mean").astype(np.float64)
        variance = array_of(values.get("var"), f"{where}: var").astype(np.float64) + epsilon
        if not (np.abs(mean[key]) < _LARGEST).all():
            raise Sb3Error(f"{where}: mean: holds a NaN or a value beyond float32")
        if not ((variance > 0) & (variance < _LARGEST)).all():
            raise Sb3Error(f"{where}: var: holds a NaN or a value that is not above 0 and within float32")
        std[key] = np.sqrt(variance)
    return _Normalization(mean, std, clip)


def _number(thing: Any, where: str) -> float:
    value = array_of(thing, where)
    if value.size != 1 or not np.isfinite(value).all():
        raise Sb3Error(f"{where}: no finite number")
    return float(value.reshape(()))
