"""Read the zip that stable-baselines3 writes of a model, and run none of it."""

import base64
import binascii
import io
import json
import pickle
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policies.errors import Sb3Error
from policies.inert import name_of, read_inert
from policies.sb3_spaces import SpaceInfo

Arrays = dict[str, NDArray[np.float32]]
# What damaged weights raise in torch's own reader, which is as careful but less uniform.
_NO_WEIGHTS = (
    pickle.UnpicklingError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, MemoryError, OSError,
)  # fmt: skip
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class Sb3Model:
    """What a zip says of its policy."""

    path: Path
    policy_class: str
    """Module and name."""
    policy_kwargs: dict[str, Any]
    use_sde: bool
    spaces: SpaceInfo
    version: str
    """Of stable-baselines3."""
    weights: Arrays


def read_model(path: Path) -> Sb3Model:
    """Read a zip that `model.save` wrote.

    Raises:
        Sb3Error: if it is missing, truncated, or no such zip.
    """
    members = _members(path)
    try:
        data = json.loads(members["data"])
    except ValueError:
        raise Sb3Error(f"{path}: data: truncated or damaged: it is not whole JSON") from None
    if not isinstance(data, dict):
        raise Sb3Error(f"{path}: data: no JSON object")
    kwargs = _value(data, "policy_kwargs", path)
    if not isinstance(kwargs, dict):
        raise Sb3Error(f"{path}: policy_kwargs: {name_of(kwargs)} where a dictionary belongs")
    observation, action = _value(data, "observation_space", path), _value(data, "action_space", path)
    return Sb3Model(
        path=path,
        policy_class=name_of(_value(data, "policy_class", path)),
        policy_kwargs=kwargs,
        use_sde=bool(data.get("use_sde") or kwargs.get("use_sde")),
        spaces=SpaceInfo.of_inert(observation, action, str(path)),
        version=members["_stable_baselines3_version"].decode(errors="replace").strip(),
        weights=_weights(members["policy.pth"], path),
    )


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        Sb3Error: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Sb3Error(f"{path}: cannot be read: {error.strerror}") from None


def _members(path: Path) -> dict[str, bytes]:
    content = read_bytes(path)
    needed = ("data", "policy.pth", "_stable_baselines3_version")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if missing := [name for name in needed if name not in archive.namelist()]:
                # The weights are a zip as well: what is cut right after them is a zip of other names.
                raise Sb3Error(f"{path}: holds no {missing[0]}: truncated, or no stable-baselines3 model")
            return {name: archive.read(name) for name in needed}
    except Sb3Error:
        raise
    except _UNREADABLE as error:
        raise Sb3Error(f"{path}: truncated or no zip: {' '.join(str(error).split())}") from None


def _value(data: dict[str, Any], key: str, path: Path) -> Any:
    """Return an entry of `data`, which SB3 pickles where JSON has no word for it."""
    if key not in data:
        raise Sb3Error(f"{path}: data: no entry {key}")
    value = data[key]
    if not isinstance(value, dict) or ":serialized:" not in value:
        return value
    try:
        content = base64.b64decode(value[":serialized:"])
    except (TypeError, binascii.Error, ValueError):
        raise Sb3Error(f"{path}: data: {key}: no base64") from None
    return read_inert(content, f"{path}: data: {key}")


def _weights(content: bytes, path: Path) -> Arrays:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unusual format: an error follows, or none matters
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return {str(name): value.detach().float().numpy() for name, value in loaded.items()}
    except _NO_WEIGHTS as error:
        reason = " ".join(str(error).split())[:120]
        raise Sb3Error(f"{path}: policy.pth: cannot be read as plain weights: {reason}") from None
