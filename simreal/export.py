"""`export`: bundle -> ONNX model."""

from dataclasses import dataclass
from pathlib import Path

from policies import BundleError, PolicyBundle
from simreal.deploy.drift import DriftStatistics
from simreal.deploy.drift_source import source_statistics
from simreal.errors import SimrealError

MODEL = "policy.onnx"


@dataclass(frozen=True)
class ExportResult:
    """What was exported."""

    model: Path
    weights_sha256: str
    """Of the bundle, as the model's metadata has it."""
    drift: DriftStatistics | None
    """None: the drift watch is off."""


def export(
    bundle: PolicyBundle, path: Path, source_run: Path | None, false_alarms: float, seed: int = 0
) -> ExportResult:
    """Write a bundle as one ONNX file that holds all that acting takes.

    Args:
        bundle: What to export.
        path: The file.
        source_run: Pretraining run whose source data the drift watch learns from; None: no drift watch.
        false_alarms: Share of decisions above the drift watch's threshold in the source's worlds.
        seed: Of the source frames that are taken.

    Raises:
        SimrealError: if the model would not act as the policy does, or the source data does not fit.
    """
    from policies.export import export_onnx  # here, since torch's exporter takes a second to import

    drift = None if source_run is None else source_statistics(bundle, source_run, false_alarms, seed)
    try:
        export_onnx(bundle, path, None if drift is None else drift.to_plain())
    except BundleError as error:
        raise SimrealError(str(error)) from None
    return ExportResult(path, bundle.weights_sha256, drift)
