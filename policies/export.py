"""Export: a bundle to an ONNX model that needs nothing else to act."""

import contextlib
import copy
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.acting import ActingPolicy
from policies.bundle import PolicyBundle
from policies.encoders import SpatialSoftmax
from policies.errors import BundleError
from policies.onnx_file import ACTION, FEATURE, PRODUCER, metadata_entries, sealed

TOLERANCE = 1e-5
"""Largest difference from torch, of the action's units and of the feature."""
_CHECKED = 32  # observations that torch and the model must agree on before the model is written


def export_onnx(bundle: PolicyBundle, path: Path, drift: Any = None) -> Path:
    """Write a bundle as an ONNX model; an interruption leaves either the old file or the new one.

    Inputs are the observation's entries under their names, uint8 (B, H, W, C) or float32 (B, n);
    outputs `action` (B, A) in the manifest's units and `feature` (B, F). The batch is free: a fixed one
    was not faster. onnxruntime's answers are compared with torch's before anything is written.

    Args:
        bundle: What to export.
        path: The file.
        drift: Plain values to keep beside the manifest for the drift watch.

    Raises:
        BundleError: if the model would not act as the policy does.
    """
    content = onnx_bytes(bundle, drift)
    _write(path, content)
    return path


def onnx_bytes(bundle: PolicyBundle, drift: Any = None) -> bytes:
    """Return the content of the file that `export_onnx` writes.

    Raises:
        BundleError: if the model would not act as the policy does.
    """
    names = bundle.policy.config.observation_names
    if taken := {ACTION, FEATURE} & set(names):
        raise BundleError(f"observation {taken.pop()!r}: an output of the model is called that")
    model = _exported(bundle)
    model.producer_name = PRODUCER
    model.doc_string = f"{bundle.manifest.env_id}: {', '.join(names)} -> {ACTION}, {FEATURE}"
    for key, value in metadata_entries(bundle, drift).items():
        model.metadata_props.add(key=key, value=value)
    content = sealed(model.SerializeToString())
    _check_agreement(bundle, content)
    return content


def random_observations(bundle: PolicyBundle, count: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return observations that no world gives: coloured blocks, and vectors up to five deviations off."""
    rng = np.random.default_rng(seed)
    config, normalizer = bundle.policy.config.encoder, bundle.policy.encoder.normalizer
    found: dict[str, NDArray[Any]] = {}
    if config.image_shape is not None:
        height, width, channels = config.image_shape
        # Of noise alone every convolution makes the same grey: it would compare nothing.
        blocks = rng.integers(0, 256, (count, -(-height // 8), -(-width // 8), channels), dtype=np.uint8)
        found["image"] = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    mean, std, start = normalizer.mean.numpy(), normalizer.std.numpy(), 0
    for name, size in config.vectors:
        part = slice(start, start + size)
        offset = rng.uniform(-5, 5, (count, size))
        found[name] = (mean[part] + offset * std[part]).astype(np.float32)
        start += size
    return found


def _exported(bundle: PolicyBundle) -> Any:
    """Return the ONNX ModelProto of a bundle."""
    module = ActingPolicy(bundle).eval()
    module.policy = _with_products(bundle.policy)
    config = bundle.policy.config
    # Two of each: from a batch of one the exporter concludes that it is always one.
    example = tuple(
        torch.zeros(2, *shape, dtype=torch.uint8 if len(shape) == 3 else torch.float32)
        for shape in config.observation_shapes.values()
    )
    batch = torch.export.Dim("batch")
    with _quiet():
        program: Any = torch.onnx.export(
            module,
            example,
            dynamo=True,
            verbose=False,
            input_names=list(config.observation_names),
            output_names=[ACTION, FEATURE],
            dynamic_shapes=(tuple({0: batch} for _ in example),),
        )
    return program.model_proto


class _KeypointsByProduct(nn.Module):
    """`SpatialSoftmax` as one matrix product: 6% of a decision, where no autocast can round it."""

    grid: Tensor

    def __init__(self, keypoints: SpatialSoftmax) -> None:
        super().__init__()
        height, width = len(keypoints.down), len(keypoints.across)
        grid = torch.stack([keypoints.across.repeat(height), keypoints.down.repeat_interleave(width)], dim=1)
        self.register_buffer("grid", grid)
        self.temperature = keypoints.temperature

    def forward(self, maps: Tensor) -> Tensor:
        return ((maps.flatten(2) * self.temperature).softmax(dim=2) @ self.grid).flatten(1)


def _with_products(policy: nn.Module) -> Any:
    changed: Any = copy.deepcopy(policy)
    keypoints = getattr(changed.encoder, "keypoints", None)
    if isinstance(keypoints, SpatialSoftmax):
        changed.encoder.keypoints = _KeypointsByProduct(keypoints)
    return changed


def _check_agreement(bundle: PolicyBundle, content: bytes) -> None:
    import onnxruntime

    observations = random_observations(bundle, _CHECKED)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run([ACTION, FEATURE], observations)
    with torch.inference_mode():
        wanted = ActingPolicy(bundle).eval()(*map(torch.from_numpy, observations.values()))
    for name, ours, theirs in zip((ACTION, FEATURE), found, wanted, strict=True):
        apart = float(np.abs(ours - theirs.numpy()).max())
        # Of large values no more can be asked than float32 holds.
        if not apart <= TOLERANCE * max(1.0, float(theirs.abs().max())):
            raise BundleError(f"the exported {name} is {apart:.1e} from the policy's; nothing is written")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes (no torchvision, its own deprecations) away from a user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
