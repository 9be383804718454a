"""What connects stable-baselines3's training loop to our progress bar."""

from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback


class Advance(BaseCallback):
    """Moves a progress bar by the number of environments at every step."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        super().__init__()
        self._advance = advance

    def _on_step(self) -> bool:
        self._advance(self.training_env.num_envs)
        return True
