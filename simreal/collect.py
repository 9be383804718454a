"""`collect`: demonstrations from a target, as a LeRobot dataset v3.0."""

from pathlib import Path
from typing import Any

from policies import PolicyBundle
from simreal.data.demonstrations import demonstrate
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.errors import SimrealError, at_least
from simreal.foreign import is_ours
from simreal.progress import progress
from simreal.seeds import Purpose, seed_for
from simreal.targets import Target


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
    world: Any = env.unwrapped
    names = DatasetNames(
        world.proprio_order, world.action_order, world.task.description, world.robot.spec.name
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
        write_dataset(path, episodes, 1 / expert.manifest.control_period_s, names, overwrite)
    return sum(LeRobotDataset(path).lengths)
