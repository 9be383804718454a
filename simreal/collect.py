"""`collect`: demonstrations or unlabelled frames from a target, as a LeRobot dataset v3.0."""

from pathlib import Path
from typing import Any

from policies import PolicyBundle
from simreal.data.demonstrations import demonstrate, roam
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.errors import SimrealError, at_least
from simreal.foreign import is_ours
from simreal.progress import progress
from simreal.seeds import Purpose, seed_for
from simreal.targets import Env, Target


def collect(
    expert: PolicyBundle, target: Target, demos: int, seed: int, path: Path, overwrite: bool = False
) -> int:
    """Record demonstrations of an expert in a simulated target and return the number of frames.

    Raises:
        SimrealError: if the expert cannot act there, or fails too often.
    """
    at_least(1, demos=demos)
    env = target.open(privileged=True)
    if not is_ours(env):
        raise SimrealError(
            f"{target.label}: the expert needs privileged state, which only simreal's worlds give"
        )
    with progress("demonstrations", demos, "episodes") as advance:
        episodes = demonstrate(
            env,
            expert.policy,
            demos,
            seed_for(Purpose.DEMONSTRATION, seed),
            target.options,
            lambda recorded: advance(1),
        )
        write_dataset(path, episodes, 1 / expert.manifest.control_period_s, _names(env), overwrite)
    return sum(LeRobotDataset(path).lengths)


def collect_frames(
    bundle: PolicyBundle,
    target: Target,
    frames: int,
    seed: int,
    path: Path,
    overwrite: bool = False,
    noise: float = 0.0,
) -> None:
    """Record what a policy sees when it roams a simulated target, failures included: no labels.

    Raises:
        SimrealError: if no frame is wanted, or the noise is negative.
    """
    at_least(1, frames=frames)
    if noise < 0:
        raise SimrealError(f"--noise {noise}: a deviation is at least 0")
    env = target.open(privileged="privileged" in bundle.policy.config.observation_names)
    period = bundle.manifest.control_period_s
    first = seed_for(Purpose.UNLABELLED, seed)
    with progress("unlabelled frames", frames, "frames") as advance:
        how: dict[str, Any] = {"noise": noise, "period_s": period, "options": target.options}
        episodes = roam(env, bundle.policy, frames, first, **how, progress=advance)
        write_dataset(path, episodes, 1 / period, _names(env), overwrite)


def _names(env: Env) -> DatasetNames:
    world: Any = env.unwrapped
    return DatasetNames(
        world.proprio_order,
        world.action_order,
        world.task.description,
        world.robot.spec.name,
        action_scale=world.action_scale,
    )
