"""`PolicyBundle`: a saved policy with everything needed to run it; safetensors and JSON, no pickle."""

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
import tempfile
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from policies.policy import Policy, PolicyConfig
from policies.spec import ActionSpec, ObservationSpec

FORMAT = 1
WEIGHTS, MANIFEST = "policy.safetensors", "policy.json"
_PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3", "pybullet")


class BundleError(ValueError):
    """A bundle that cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class BundleManifest:
    """Everything about a policy that is not a weight."""

    observations: tuple[ObservationSpec, ...]
    action: ActionSpec
    control_period_s: float
    env_id: str
    domain: str
    """Label of the domain it was trained in."""
    seed: int
    policy: PolicyConfig
    parent: str | None = None
    """SHA-256 of the weights it was adapted from."""
    method: str | None = None
    """Transfer method that adapted it."""
    git_commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package versions at training; filled in when saved if empty."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values: training settings, what was used of the target, a verdict."""


@dataclass(frozen=True)
class PolicyBundle:
    """A policy and its manifest."""

    policy: Policy
    manifest: BundleManifest

    @property
    def weights_sha256(self) -> str:
        """Return what identifies these weights."""
        return hashlib.sha256(save(self.policy.to_arrays())).hexdigest()

    def save(self, folder: Path, overwrite: bool = False) -> Path:
        """Write the bundle; an interruption leaves either the old one or the new one.

        Raises:
            FileExistsError: if the folder exists and `overwrite` is false.
            BundleError: if a weight is not finite.
        """
        arrays = self.policy.to_arrays()
        for name, value in arrays.items():
            if not np.isfinite(value).all():
                raise BundleError(f"{folder}: weight {name} holds a NaN or an infinity; not saved")
        if folder.exists() and not overwrite:
            raise FileExistsError(f"{folder} exists already")
        weights = save(arrays)
        manifest = dataclasses.asdict(self.manifest)
        manifest["versions"] = dict(self.manifest.versions) or _versions()
        manifest["format"] = FORMAT
        manifest["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        manifest["weights_bytes"] = len(weights)
        manifest["manifest_sha256"] = _digest(manifest)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            fresh, old = Path(scratch) / "new", Path(scratch) / "old"
            fresh.mkdir()
            (fresh / WEIGHTS).write_bytes(weights)
            (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n")
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        return folder

    @classmethod
    def load(cls, folder: Path) -> "PolicyBundle":
        """Read a bundle; nothing in it is executed.

        Raises:
            BundleError: if it is missing, truncated, tampered with, or of a newer format.
        """
        raw = _read_manifest(folder / MANIFEST)
        weights = _read_weights(folder / WEIGHTS, raw)
        stored = {"format", "weights_sha256", "weights_bytes", "manifest_sha256"}
        try:
            manifest = _build(BundleManifest, {key: value for key, value in raw.items() if key not in stored})
            policy = Policy.from_arrays(manifest.policy, load(weights))
        except (SafetensorError, RuntimeError, TypeError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise BundleError(f"{folder}: weights and manifest do not fit: {reason}") from None
        return cls(policy, manifest)


def copy_bundle(source: Path, target: Path) -> None:
    """Copy a bundle's two files."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, MANIFEST):
        shutil.copy2(source / name, target / name)


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        raise BundleError(f"{path.parent}: no such bundle folder")
    if not path.is_file():
        raise BundleError(f"{path}: missing, so {path.parent} is no bundle")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise BundleError(f"{path}: truncated or damaged: it is not whole JSON") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("format"), int):
        raise BundleError(f"{path}: has no format number, so it is no bundle manifest")
    if raw["format"] > FORMAT:
        raise BundleError(
            f"{path}: newer format {raw['format']}; this version reads up to {FORMAT}: update simreal"
        )
    if raw.get("manifest_sha256") != _digest(raw):
        raise BundleError(f"{path}: tampered with: its content does not match its SHA-256")
    return raw


def _read_weights(path: Path, raw: dict[str, Any]) -> bytes:
    if not path.is_file():
        raise BundleError(f"{path}: missing")
    weights = path.read_bytes()
    if len(weights) < raw["weights_bytes"]:
        raise BundleError(f"{path}: truncated: {len(weights)} of {raw['weights_bytes']} bytes")
    if hashlib.sha256(weights).hexdigest() != raw["weights_sha256"]:
        raise BundleError(f"{path}: tampered with: its content does not match its SHA-256")
    return weights


def _digest(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def _build(kind: Any, value: Any) -> Any:
    """Turn plain JSON into the annotated type: nested dataclasses, tuples, unions with None."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _build(hints[name], item) for name, item in value.items()})
    if origin is tuple:
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_build(*pair) for pair in zip(kinds, value, strict=True))
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _build(arguments[0], value)
    if origin is Literal and value not in arguments:
        raise ValueError(f"{value!r} is not one of {', '.join(map(repr, arguments))}")
    return value
