"""`PolicyBundle`: a saved policy with everything needed to run it; safetensors and JSON, no pickle."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from policies.errors import BundleError
from policies.plain import from_plain
from policies.policy import Policy, PolicyConfig
from policies.replace import aside, replace_folder
from policies.spec import ActionSpec, ObservationSpec

FORMAT = 1
WEIGHTS, MANIFEST = "policy.safetensors", "policy.json"
_PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3", "pybullet")
# What `save` adds to the manifest; the normalization is a copy of buffers, for readers of the JSON.
_ADDED = {"format", "normalization", "weights_sha256", "weights_bytes", "manifest_sha256"}


@dataclass(frozen=True)
class BundleManifest:
    """Everything about a policy that is not a weight.

    Raises:
        BundleError: if its parts do not fit each other, or `extra` holds what JSON cannot.
    """

    observations: tuple[ObservationSpec, ...]
    """Every entry that the policy reads, and possibly more."""
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
    """Further JSON values: training settings, what was used of the target, a verdict, what a guard did."""

    def __post_init__(self) -> None:
        # As JSON gives them back, so that what is loaded equals what was saved.
        for name in ("versions", "extra"):
            try:
                plain = json.loads(json.dumps(dict(getattr(self, name)), allow_nan=False))
            except (TypeError, ValueError) as error:
                raise BundleError(f"manifest.{name}: not a JSON value: {error}") from None
            object.__setattr__(self, name, plain)
        if not 0 < self.control_period_s < math.inf:
            raise BundleError(f"manifest.control_period_s: {self.control_period_s} s is no period")
        described = {spec.name: spec.shape for spec in self.observations}
        for name, shape in self.policy.observation_shapes.items():
            if described.get(name) != shape:
                found = described.get(name, "nothing")
                raise BundleError(f"manifest.observations: {name} is {found}; the policy reads {shape}")
        if self.action.shape != (self.policy.action_size,):
            size = self.policy.action_size
            raise BundleError(f"manifest.action: shape {self.action.shape}; the policy gives {size}")


@dataclass(frozen=True)
class PolicyBundle:
    """A policy and its manifest.

    Raises:
        BundleError: if the manifest describes another policy.
    """

    policy: Policy
    manifest: BundleManifest

    def __post_init__(self) -> None:
        if self.policy.config != self.manifest.policy:
            raise BundleError("manifest.policy: not the configuration of the policy beside it")

    @property
    def weights_sha256(self) -> str:
        """Return what identifies these weights."""
        return hashlib.sha256(save(self.policy.to_arrays())).hexdigest()

    def save(self, folder: Path, overwrite: bool = False) -> Path:
        """Write the bundle; an interruption leaves either the old one or the new one.

        Raises:
            FileExistsError: if the folder exists and `overwrite` is false.
            BundleError: if a weight is not finite, or the folder holds something else as well.
        """
        arrays = self.policy.to_arrays()
        if broken := _not_finite(arrays):
            raise BundleError(f"{folder}: weight {broken} holds a NaN or an infinity; not saved")
        _check_free(folder, overwrite)
        weights = save(arrays)
        manifest = self._manifest_to_write(weights)
        folder.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{folder.absolute().name}."
        with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=prefix) as scratch:
            fresh = Path(scratch) / "new"
            fresh.mkdir()
            _write(fresh / WEIGHTS, weights)
            _write(fresh / MANIFEST, (json.dumps(manifest, indent=1, allow_nan=False) + "\n").encode())
            replace_folder(fresh, folder.absolute())
        return folder

    def _manifest_to_write(self, weights: bytes) -> dict[str, Any]:
        manifest = dataclasses.asdict(self.manifest)
        manifest["versions"] = dict(self.manifest.versions) or _versions()
        normalizer = self.policy.encoder.normalizer
        manifest["normalization"] = {
            "vectors": list(self.policy.encoder.names),
            "mean": normalizer.mean.tolist(),
            "std": normalizer.std.tolist(),
        }
        manifest["format"] = FORMAT
        manifest["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        manifest["weights_bytes"] = len(weights)
        manifest["manifest_sha256"] = _digest(manifest)
        return manifest

    @classmethod
    def load(cls, folder: Path) -> "PolicyBundle":
        """Read a bundle; nothing in it is executed.

        Raises:
            BundleError: if it is missing, truncated, tampered with, or of a newer format.
        """
        raw = _read_manifest(folder / MANIFEST)
        weights = _read_weights(folder / WEIGHTS, raw)
        try:
            manifest: BundleManifest = from_plain(
                BundleManifest, {key: value for key, value in raw.items() if key not in _ADDED}
            )
        except ValueError as error:
            raise BundleError(f"{folder / MANIFEST}: {error}") from None
        return cls(_read_policy(folder / WEIGHTS, manifest.policy, weights), manifest)


def _check_free(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{folder} exists already")
    if not folder.is_dir():
        raise BundleError(f"{folder}: a file, not a bundle; not replaced")
    if others := sorted({path.name for path in folder.iterdir()} - {WEIGHTS, MANIFEST}):
        raise BundleError(f"{folder}: holds {others[0]}, which is no part of a bundle; not replaced")


def _write(path: Path, content: bytes) -> None:
    # On the disk before the folder gets its name: a loss of power may not leave an empty file there.
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: missing, so {path.parent} is no whole bundle") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None


def _read_manifest(path: Path) -> dict[str, Any]:
    folder = path.parent
    if not folder.is_dir():
        old = aside(folder.absolute())
        hint = f"; a replacement was interrupted, the old bundle is {old}" if old.is_dir() else ""
        raise BundleError(f"{folder}: no such bundle folder{hint}")
    try:
        raw = json.loads(_read(path).decode())
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise BundleError(f"{path}: truncated or damaged: it is not whole JSON") from None
    version = raw.get("format") if isinstance(raw, dict) else None
    if type(version) is not int or version < 1:
        raise BundleError(f"{path}: has no format number, so it is no bundle manifest")
    if version > FORMAT:
        raise BundleError(
            f"{path}: newer format {version}; this version reads up to {FORMAT}: update simreal"
        )
    if raw.get("manifest_sha256") != _digest(raw):
        raise BundleError(f"{path}: tampered with: its content does not match its SHA-256")
    return raw


def _read_weights(path: Path, raw: dict[str, Any]) -> bytes:
    weights, size = _read(path), raw.get("weights_bytes")
    if not isinstance(size, int):
        raise BundleError(f"{path.parent / MANIFEST}: weights_bytes: {size!r} is no int")
    if len(weights) < size:
        raise BundleError(f"{path}: truncated: {len(weights)} of {size} bytes")
    if hashlib.sha256(weights).hexdigest() != raw.get("weights_sha256"):
        raise BundleError(f"{path}: tampered with: its content does not match its SHA-256")
    return weights


def _read_policy(path: Path, config: PolicyConfig, weights: bytes) -> Policy:
    try:
        arrays = load(weights)
        policy = Policy.from_arrays(config, arrays)
    except (SafetensorError, RuntimeError, TypeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{path}: weights do not fit the manifest: {reason}") from None
    if wrong := [name for name, value in arrays.items() if value.dtype != np.float32]:
        raise BundleError(f"{path}: weight {wrong[0]} is {arrays[wrong[0]].dtype}, not float32")
    if broken := _not_finite(arrays):
        raise BundleError(f"{path}: weight {broken} holds a NaN or an infinity")
    return policy


def _not_finite(arrays: dict[str, NDArray[np.float32]]) -> str | None:
    return next((name for name, value in arrays.items() if not np.isfinite(value).all()), None)


def _digest(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _PACKAGES}
