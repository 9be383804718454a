"""Bundles: filling the manifest, and reading one with a user's error."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium
from gymnasium import spaces

from envs import Domain
from policies import (
    ActionSpec,
    BundleError,
    BundleManifest,
    ObservationSpec,
    Policy,
    PolicyBundle,
)
from simreal.errors import SimrealError
from simreal.foreign import control_period, half_range, is_ours

_GRIPPER_POSITION = ("gripper_x_m", "gripper_y_m", "gripper_z_m")


def describe(
    policy: Policy,
    env: gymnasium.Env[Any, Any],
    env_id: str,
    domain: str,
    seed: int,
    extra: Mapping[str, Any],
    control_period_s: float | None = None,
) -> PolicyBundle:
    """Return the bundle of a policy trained in `env`, ours or one brought to our form.

    Raises:
        SimrealError: if nobody has told the control period.
    """
    observation: spaces.Dict = env.observation_space  # type: ignore[assignment]
    manifest = BundleManifest(
        observations=tuple(
            _observation_spec(name, observation[name], env) for name in policy.config.observation_names
        ),
        action=_action_spec(env, env_id),
        control_period_s=control_period(env, control_period_s),
        env_id=env_id,
        domain=domain,
        seed=seed,
        policy=policy.config,
        git_commit=git_commit(),
        extra=extra,
    )
    return PolicyBundle(policy, manifest)


def load_bundle(folder: Path, option: str = "") -> PolicyBundle:
    """Read a bundle.

    Args:
        folder: Where it is.
        option: Of the command line that says where, for the error.

    Raises:
        SimrealError: saying what is wrong with it.
    """
    try:
        return PolicyBundle.load(folder)
    except BundleError as error:
        raise SimrealError(f"{option} {error}".strip()) from None


def source_domain(bundle: PolicyBundle) -> Domain:
    """Return the domain that a policy was pretrained in, as its manifest keeps it.

    Raises:
        SimrealError: if the manifest has none.
    """
    plain = bundle.manifest.extra.get("source")
    if not isinstance(plain, dict):
        raise SimrealError(f"bundle of {bundle.manifest.env_id}: extra.source: no source domain is recorded")
    return Domain.from_plain(plain)


def gripper_columns(manifest: BundleManifest) -> tuple[int, ...]:
    """Return which elements of the proprioception are the gripper's position; () if none is named so."""
    order = next((spec.order for spec in manifest.observations if spec.name == "proprio"), ())
    return tuple(index for index, name in enumerate(order) if name in _GRIPPER_POSITION)


def git_commit() -> str | None:
    """Return the commit of the checkout this code runs from, or None outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _observation_spec(name: str, space: spaces.Space[Any], env: gymnasium.Env[Any, Any]) -> ObservationSpec:
    shape, world = space.shape or (), cast(Any, env.unwrapped)
    if name == "image":
        return ObservationSpec(name, shape, str(space.dtype), layout="HWC RGB")
    if not is_ours(env):
        return ObservationSpec(name, shape, str(space.dtype), _numbered(name, shape))
    order = world.proprio_order if name == "proprio" else world.task.privileged_order
    units = tuple(_unit(item) for item in order)
    return ObservationSpec(name, shape, str(space.dtype), tuple(order), units)


def _action_spec(env: gymnasium.Env[Any, Any], env_id: str) -> ActionSpec:
    shape, world = env.action_space.shape or (), cast(Any, env.unwrapped)
    if not is_ours(env):
        meaning = f"as in {env_id}"
        return ActionSpec(shape, meaning, _numbered("action", shape), half_range(env), (meaning,) * shape[0])
    order = world.action_order
    return ActionSpec(
        shape, world.controller.mode, order, world.action_scale, tuple(_unit(name) for name in order)
    )


def _numbered(name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"{name}_{index}" for index in range(shape[0]))


def _unit(name: str) -> str:
    """Return the unit that ends a name such as `gripper_x_m` or `velocity_m_s.x`."""
    stem = name.split(".")[0]
    for ending, unit in (("_m_s", "m/s"), ("_rad", "rad"), ("_m", "m")):
        if stem.endswith(ending):
            return unit
    return "1"
