"""Goals of a trial sheet: where the task itself would put them, as a person can set them up."""

from collections.abc import Sequence

from simreal.errors import SimrealError
from simreal.targets import Target

COLUMNS = tuple(f"goal_{axis}_m (robot base frame)" for axis in "xyz")


def draw_goals(target: Target, seeds: Sequence[int]) -> list[dict[str, str]]:
    """Return the goal's position of each episode of a target, in metres and to the millimetre.

    A simulated episode of the same seed has the same goal, in every domain.

    Args:
        target: Whose task draws them.
        seeds: Of the episodes.

    Raises:
        SimrealError: if the target does not tell where its goals are.
    """
    if target.domain is None:
        raise SimrealError(f"{target.label} does not tell its goals; name initial conditions: --conditions")
    env = target.open(image=False, privileged=True)
    found = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed, options=target.options)
        position = observation["privileged"][: len(COLUMNS)]  # the goal's, by `Task.privileged_order`
        found.append({name: f"{value:.3f}" for name, value in zip(COLUMNS, position, strict=True)})
    return found
