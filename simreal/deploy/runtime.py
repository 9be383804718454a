"""Runtimes: an observation in, an action in the manifest's units out, once every control period."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from policies import BundleError, BundleManifest, PolicyBundle
from policies.acting import ActingPolicy
from policies.onnx_file import ACTION, FEATURE, read_metadata, read_sealed
from simreal.deploy.drift import DriftStatistics
from simreal.errors import SimrealError

Observation = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Decision:
    """What a policy decided on one observation."""

    action: NDArray[np.float32]
    """(A,) in the manifest's units, within its limits."""
    feature: NDArray[np.float32] | None
    """(F,), what the encoder made of the observation."""


class Runtime(Protocol):
    """Whatever runs a policy; one thread at a time."""

    manifest: BundleManifest
    weights_sha256: str
    """Of the bundle."""
    drift: DriftStatistics | None
    """What the drift watch needs; None where the export was not given the source data."""

    def decide(self, observation: Observation) -> Decision:
        """Return the decision on one observation: image uint8 (H, W, C), vectors (n,).

        Raises:
            SimrealError: if an entry is missing, of another shape or type, or not finite.
        """


class OnnxRuntime:
    """An exported model, run by onnxruntime on one thread.

    One thread: a network this small is slower on two, and the other core belongs to the robot.
    Inputs and outputs are bound once, so that a decision allocates nothing but its result.
    """

    def __init__(self, path: Path) -> None:
        """Load a model.

        Args:
            path: What `simreal export` wrote.

        Raises:
            SimrealError: if it is missing, truncated, tampered with, foreign or of a newer format.
        """
        try:
            content = read_sealed(path)
            self._session = _session(path, content)
            metadata = read_metadata(path, self._session.get_modelmeta().custom_metadata_map)
        except BundleError as error:
            raise SimrealError(str(error)) from None
        self.manifest = metadata.manifest
        self.weights_sha256 = metadata.weights_sha256
        self.drift = None if metadata.drift is None else DriftStatistics.from_plain(metadata.drift, str(path))
        self._inputs = _Inputs(self.manifest)
        config = self.manifest.policy
        self._action = np.zeros((1, config.action_size), np.float32)
        self._feature = np.zeros((1, config.encoder.feature_size), np.float32)
        self._binding = self._session.io_binding()
        for name, array in self._inputs.batches.items():
            self._binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in ((ACTION, self._action), (FEATURE, self._feature)):
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self._session.run_with_iobinding(self._binding)  # the first run is slow: allocation, packed weights

    def decide(self, observation: Observation) -> Decision:
        """Return the decision on one observation; see `Runtime`."""
        self._inputs.fill(observation)
        self._session.run_with_iobinding(self._binding)
        return Decision(self._action[0].copy(), self._feature[0].copy())


class TorchRuntime:
    """A bundle, run by torch: the reference that an exported model is held to."""

    drift: DriftStatistics | None = None

    def __init__(self, bundle: PolicyBundle) -> None:
        self.manifest = bundle.manifest
        self.weights_sha256 = bundle.weights_sha256
        self._policy = ActingPolicy(bundle).eval()
        self._inputs = _Inputs(bundle.manifest)
        self._tensors = [torch.from_numpy(array) for array in self._inputs.batches.values()]

    def decide(self, observation: Observation) -> Decision:
        """Return the decision on one observation; see `Runtime`."""
        self._inputs.fill(observation)
        with torch.inference_mode():
            action, feature = self._policy(*self._tensors)
        return Decision(action[0].numpy(), feature[0].numpy())


def unit_action(manifest: BundleManifest, action: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return an action (A,) in the manifest's units as the controller takes it, 1 for one `scale`."""
    return action.astype(np.float64) / np.asarray(manifest.action.scale)


class _Inputs:
    """Arrays that an observation is copied into, a batch of one each, in the policy's order."""

    def __init__(self, manifest: BundleManifest) -> None:
        shapes = manifest.policy.observation_shapes
        self.batches: dict[str, NDArray[Any]] = {
            name: np.zeros((1, *shape), np.uint8 if len(shape) == 3 else np.float32)
            for name, shape in shapes.items()
        }

    def fill(self, observation: Observation) -> None:
        for name, batch in self.batches.items():
            if name not in observation:
                known = ", ".join(observation) or "nothing"
                raise SimrealError(f"the observation has no {name!r}, only {known}")
            value = np.asarray(observation[name])
            if value.shape != batch.shape[1:]:
                raise SimrealError(f"{name!r} of shape {value.shape}: the policy reads {batch.shape[1:]}")
            if batch.dtype == np.uint8 and value.dtype != np.uint8:
                raise SimrealError(f"{name!r} of dtype {value.dtype}: the policy reads uint8, from 0 to 255")
            if not np.can_cast(value.dtype, batch.dtype, "same_kind"):
                raise SimrealError(f"{name!r} of dtype {value.dtype}: the policy reads numbers")
            batch[0] = value
            # Checked here since a clamp in a graph may turn a NaN into a plausible number.
            if batch.dtype == np.float32 and not np.isfinite(batch).all():
                raise SimrealError(f"{name!r} holds a NaN or an infinity")


def _session(path: Path, content: bytes) -> Any:
    import onnxruntime  # here, since every command imports this module and few run a model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common base but this
        reason = " ".join(str(error).split())
        raise BundleError(f"{path}: onnxruntime cannot run it: {reason[:200]}") from None
