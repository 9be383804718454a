"""`RewardedSteps`: a target that says what each step was worth, for a limited number of steps."""

from typing import Any

import gymnasium

from simreal.errors import SimrealError
from simreal.targets import Target

Env = gymnasium.Env[Any, Any]


class RewardedSteps:
    """A budget of steps in a target; every environment that it opens counts on the same one."""

    def __init__(self, target: Target, steps: int) -> None:
        """Set the budget.

        Args:
            target: Where the steps are taken.
            steps: How many, at most.

        Raises:
            SimrealError: if that is none at all.
        """
        if steps < 1:
            raise SimrealError(f"--steps {steps}: at least one rewarded step is needed")
        self.target, self.steps = target, steps
        self.used = 0

    def open(self, image: bool = True) -> Env:
        """Return the environment of the target; its observation has no privileged state.

        Args:
            image: Whether it is rendered.
        """
        return _Counted(self.target.open(image=image), self)

    def take(self) -> None:
        """Count a step.

        Raises:
            SimrealError: if none is left.
        """
        if self.used >= self.steps:
            raise SimrealError(f"the {self.steps} rewarded steps of {self.target.label} are spent")
        self.used += 1


class _Counted(gymnasium.Wrapper[Any, Any, Any, Any]):
    def __init__(self, env: Env, budget: RewardedSteps) -> None:
        super().__init__(env)
        self._budget = budget

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        # The process shares its environments: another target's domain may still be in this one.
        return super().reset(seed=seed, options=(self._budget.target.options or {}) | (options or {}))

    def step(self, action: Any) -> Any:
        self._budget.take()
        return super().step(action)

    def close(self) -> None:
        """Leave it open: it is the process's own."""
