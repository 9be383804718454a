"""`export`: what takes a bundle to a robot."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.bundles import load_bundle
from simreal.commands.common import Common
from simreal.export import MODEL, export
from simreal.progress import say


@dataclass(frozen=True)
class Export(Common):
    """Bundle -> ONNX in OUT/policy.onnx; preprocessing, normalization, scale and limits are in it."""

    policy: Path = Path("runs/run/policy")
    """Bundle to export."""
    source: Path | None = None
    """Pretraining run whose source data the drift watch learns from; without it the watch is off."""
    false_alarms: float = 0.01
    """Share of decisions at which the drift watch may fire in the source's worlds."""

    def work(self) -> dict[str, Any]:
        """Export, and say what the model holds."""
        bundle = load_bundle(self.policy)
        result = export(bundle, self.folder() / MODEL, self.source, self.false_alarms, self.seed)
        say(f"model: {result.model}")
        if result.drift is None:
            say("the drift watch is off: it needs --source RUN, the run that the policy was pretrained in")
            drift = None
        else:
            drift = {
                "false_alarms": result.drift.false_alarms,
                "false_alarms_per_episode": result.drift.false_alarms_per_episode,
                "episodes": result.drift.episodes,
            }
            say(
                f"drift watch: fires at {result.drift.false_alarms:.2%} of decisions in source worlds, "
                f"in {result.drift.false_alarms_per_episode:.1%} of {result.drift.episodes} held-out episodes"
            )
        return {"model": result.model, "weights_sha256": result.weights_sha256, "drift": drift}
