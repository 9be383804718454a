"""`Rules`: what a policy reads, and how an episode for it is put together from a recording."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.controller import Controller
from policies import BundleManifest, ObservationSpec
from simreal.bundles import gripper_columns
from simreal.data.episodes import Episode
from simreal.data.importing.mapping import Element, ImportMapping, Vector, Wanted, read_mapping
from simreal.deploy.fit import make_controller, robot_spec
from simreal.errors import SimrealError

Column = Callable[[str, str], Vector]
"""Topic or feature, and key -> the recorded values (T,)."""
MOST_FRAMES = 1000  # of an episode: a longer one is cut, so that memory stays bounded
_FULL = 1 + 1e-4  # an action in single precision may be this much more than a full one


class CutOffError(SimrealError):
    """A part of a recording that cannot be read, while others can."""


@dataclass(frozen=True)
class Rules:
    """A policy together with the mapping that brings recordings to it."""

    manifest: BundleManifest
    mapping: ImportMapping
    controller: Controller | None
    """Of the policy's robot; None if no kinematics is asked for."""

    @classmethod
    def read(cls, path: Path | None, manifest: BundleManifest, usual: dict[str, str]) -> "Rules":
        """Read a mapping file for a policy.

        Args:
            path: YAML; None if everything has the policy's names.
            manifest: Of the policy.
            usual: Section -> where its values usually are in such a recording.

        Raises:
            SimrealError: naming file, key, value and what would be right.
        """
        proprio = _spec(manifest, "proprio")
        positions = [proprio.order[column] for column in gripper_columns(manifest)]
        try:
            joints = [f"{name}_rad" for name in robot_spec(manifest).joint_names]
        except SimrealError:
            joints = []  # of another robot than ours: it has no kinematics here
        action, units = manifest.action, proprio.units or ("1",) * len(proprio.order)
        wanted = Wanted(
            proprio.order, units, action.order, action.units, action.scale, joints, positions, usual
        )
        mapping = read_mapping(path, wanted)
        if not (mapping.kinematics or mapping.targets):
            return cls(manifest, mapping, None)
        controller = make_controller(manifest)
        if mapping.targets and controller.dimensions != len(action.order):
            raise SimrealError(f"{path}: action: targets: the policy moves the gripper too: say elements")
        return cls(manifest, mapping, controller)

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an image as the policy reads it.

        Raises:
            SimrealError: if it has another shape than the policy's.
        """
        made, wanted = self.mapping.picture.apply(image), _spec(self.manifest, "image").shape
        if made.shape != wanted:
            height, width = wanted[:2]
            raise SimrealError(
                f"{self.mapping.path}: image: {made.shape[1]}x{made.shape[0]} pixels, the policy reads "
                f"{width}x{height}: crop it, or say resize: [{width}, {height}]"
            )
        return made

    def episode(
        self, column: Column, images: Sequence[NDArray[np.uint8]], times: Vector, success: bool
    ) -> Episode:
        """Return an episode.

        Args:
            column: The recorded values.
            images: As the policy reads them.
            times: (T,), seconds since the episode began.
            success: Whether it ended so.

        Raises:
            SimrealError: naming the element that is wrong.
        """
        proprio = self._proprio(column)
        action = self._action(column, proprio).astype(np.float32)
        for index, name in enumerate(self.manifest.action.order):
            most = float(np.abs(action[:, index]).max())
            if most > _FULL:
                scale = self.manifest.action.scale[index]
                raise SimrealError(
                    f"{self.mapping.path}: action: {name}: reaches {most:.3g} of a full action, which is "
                    f"{scale:g} {self.manifest.action.units[index]}: say its unit, or scale the recording"
                )
        rewards = np.zeros(len(times), np.float32)
        if self.mapping.reward is not None:
            rewards = _value(self.mapping.reward, column).astype(np.float32)
        else:
            rewards[-1] = success
        return Episode(
            np.stack(images), proprio.astype(np.float32), action, rewards, times.astype(np.float32), success
        )

    def succeeded(self, column: Column) -> bool:
        """Tell whether an episode ended in success, by what the mapping says."""
        rule = self.mapping.success
        return rule == "all" if not isinstance(rule, Element) else bool(np.any(_value(rule, column)))

    def _proprio(self, column: Column) -> Vector:
        known = {name: _value(element, column) for name, element in self.mapping.proprio.items()}
        order = _spec(self.manifest, "proprio").order
        if self.mapping.kinematics and self.controller is not None:
            joints = np.stack([known[f"{name}_rad"] for name in self.controller.kinematics.joint_names], -1)
            position = self.controller.kinematics.forward_many(joints)
            for axis, place in enumerate(gripper_columns(self.manifest)):
                known[order[place]] = position[:, axis]
        return np.stack([known[name] for name in order], axis=1)

    def _action(self, column: Column, proprio: Vector) -> Vector:
        r"""Return the action; of absolute targets :math:`(x_{target} - x_{measured}) / scale`, clipped.

        As `LeaderRuntime` has it: a target further away than a full action is followed in its direction.
        """
        found = [_value(element, column) for element in self.mapping.action.values()]
        values = np.stack(found, axis=1)
        if not self.mapping.targets or self.controller is None:
            return values
        joints = proprio[:, : len(self.controller.kinematics.joint_names)]
        if self.controller.dimensions == 3:
            forward = self.controller.kinematics.forward_many
            motion = (forward(values) - forward(joints)) / self.controller.scale
        else:
            motion = (values - joints) / self.controller.scale
        return motion / np.maximum(1.0, np.abs(motion).max(axis=1, keepdims=True))


def check_rate(where: str, found_hz: float, manifest: BundleManifest, tolerance: float = 0.01) -> None:
    """Refuse a recording at another rate than the policy acts at.

    Raises:
        SimrealError: naming both.
    """
    wanted = 1 / manifest.control_period_s
    if abs(found_hz - wanted) > tolerance * wanted:
        raise SimrealError(f"{where}: {found_hz:.4g} Hz; the policy acts at {wanted:.4g} Hz")


def _value(element: Element, column: Column) -> Vector:
    return element.value([column(element.source, key) for key in element.keys])


def _spec(manifest: BundleManifest, name: str) -> ObservationSpec:
    found: Any = next((spec for spec in manifest.observations if spec.name == name), None)
    if found is None:
        read = ", ".join(spec.name for spec in manifest.observations)
        raise SimrealError(f"--policy: the bundle reads {read}, no {name}: give the one that the data is for")
    return found
