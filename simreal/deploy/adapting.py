"""A policy that adapts while it is deployed, beside the loop: another process learns, the loop only swaps.

The loop writes each transition into shared memory, and between two decisions looks whether there are newer
weights; neither ever waits. Until weights are swapped in, and after they were rolled back, the exported model
decides, as without adaptation. What rolls back is said in `simreal.deploy.guard`.
"""

import copy
import dataclasses
import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policies import Policy, PolicyBundle
from simreal.deploy.adapting_process import Factory, flat_weights, transition_layout, weight_layout, work
from simreal.deploy.guard import Guard, Signs
from simreal.deploy.newest import Newest
from simreal.deploy.runtime import Decision, Observation, OnnxRuntime, TorchRuntime, unit_action


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """What adaptation came to."""

    updates: int
    """Learned by the other process."""
    swaps: int
    """Of weights, in the loop."""
    rolled_back: str | None
    """Why the original weights came back for good."""
    error: str | None
    """Why the other process ended; None if it works."""


class AdaptingRuntime:
    """An exported model whose bundle's policy learns in another process."""

    def __init__(self, base: OnnxRuntime, bundle: PolicyBundle, factory: Factory) -> None:
        """Start the other process; use as a context, so that it ends.

        Args:
            base: What decides with the original weights.
            bundle: What it was exported from.
            factory: Makes the learner, in the other process.
        """
        self.manifest, self.drift = base.manifest, base.drift
        self.weights_sha256 = base.weights_sha256  # of what rolling back goes back to
        self.corrections: Callable[[], int] = lambda: 0
        """Tells how many limits have changed commands so far."""
        self.guard = Guard()
        self._base, self._policy = base, copy.deepcopy(bundle.policy).eval()
        self._adapted = TorchRuntime(PolicyBundle(self._policy, bundle.manifest))
        self._swaps, self._version, self._uses_adapted, self._corrected = 0, 0, False, 0
        self._last: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None
        self._start(factory, bundle)

    def __enter__(self) -> "AdaptingRuntime":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        self._process.join(2.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def new_episode(self) -> None:
        """Forget the last observation: what follows is no consequence of the last action."""
        self._last = None

    def decide(self, observation: Observation) -> Decision:
        """Return the decision of the weights of now; see `Runtime`."""
        self._swap()
        decision = (self._adapted if self._uses_adapted else self._base).decide(observation)
        if self._uses_adapted and not np.isfinite(decision.action).all():
            self.guard.object("an action that is not finite")
        elif self._may_stay(decision, observation):
            self._tell(observation, decision)
            return decision
        self._uses_adapted = False
        decision = self._base.decide(observation)
        self._tell(observation, decision)
        return decision

    @property
    def adaptation(self) -> Adaptation:
        """Return what adaptation has come to."""
        return Adaptation(
            self._weights.count, self._swaps, self.guard.objection or None, self._error or self._heard()
        )

    def _may_stay(self, decision: Decision, observation: Observation) -> bool:
        drift, corrected = 0.0, self.corrections()
        if self.drift is not None and decision.feature is not None:
            rows = decision.feature[None], np.asarray(observation["proprio"])[None]
            drift = float(self.drift.distances(*rows)[0, 0])
        signs = Signs(drift, corrected - self._corrected)
        self._corrected = corrected
        return self.guard.note(signs, self._uses_adapted) or not self._uses_adapted

    def _swap(self) -> None:
        """Take over newer weights, whole, before the decision is begun."""
        if not self.guard.ready or self._weights.count == self._version:
            return
        self._version = self._weights.count
        record = self._weights.read()
        if record is not None:
            load_weights(self._policy, record["weights"])
            self._swaps, self._uses_adapted = self._swaps + 1, True

    def _tell(self, observation: Observation, decision: Decision) -> None:
        image = np.asarray(observation["image"])
        if self._last is not None:
            before, action = self._last
            self._transitions.write(before=before, after=image, action=action)
        action = np.clip(unit_action(self.manifest, decision.action), -1.0, 1.0).astype(np.float32)
        self._last = image.copy(), action

    def _start(self, factory: Factory, bundle: PolicyBundle) -> None:
        context = multiprocessing.get_context("spawn")
        config = bundle.manifest.policy
        layouts = transition_layout(config), weight_layout(bundle.policy)
        memories = [context.RawArray("B", Newest.size_of(layout)) for layout in layouts]
        self._transitions, self._weights = (
            Newest(memory, layout) for memory, layout in zip(memories, layouts, strict=True)
        )
        self._error = ""
        self._connection, other = context.Pipe()
        arguments = (factory, config, flat_weights(bundle.policy).size, other, *memories)
        self._process: Any = context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        other.close()

    def _heard(self) -> str | None:
        """Return why the other process ended, if it said so."""
        try:
            if self._connection.poll(0):
                self._error = self._connection.recv_bytes().decode()
        except (EOFError, OSError):
            self._error = "its process died"
        return self._error or None


def load_weights(policy: Policy, flat: NDArray[np.float32]) -> None:
    """Give a policy the weights that `flat_weights` returned of another one, (P,)."""
    start = 0
    with torch.no_grad():
        for tensor in policy.state_dict().values():
            if tensor.dtype == torch.float32:
                part = torch.from_numpy(flat[start : start + tensor.numel()])
                tensor.copy_(part.view_as(tensor))
                start += tensor.numel()
