"""stable-baselines3's training loop with our progress bar, and checkpoints that hold no pickle."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import SubprocVecEnv, VecMonitor

from simreal.progress import progress

Keep = Callable[[BaseAlgorithm], object]


@dataclass(frozen=True)
class Training:
    """One reinforcement learning that can be interrupted."""

    name: str
    """Of the progress bar and of the TensorBoard log."""
    steps: int
    """Environment steps in all."""
    checkpoint: Path
    """Tensors and plain values, read again with `weights_only`."""
    every: int
    """Environment steps between two checkpoints."""


def vectorize(make: Callable[[], gymnasium.Env[Any, Any]], count: int) -> VecMonitor:
    """Return `count` environments in processes of one thread each, which leave ctrl-C to this one."""

    def start() -> gymnasium.Env[Any, Any]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        torch.set_num_threads(1)
        return make()

    return VecMonitor(_Processes([start] * count, start_method="forkserver"))


class _Processes(SubprocVecEnv):
    def close(self) -> None:
        """Stop the processes; they hold nothing that is worth waiting for.

        SB3 asks them, and waits for answers that an interruption may have taken: for ever.
        """
        if self.closed:
            return
        for process in self.processes:
            process.terminate()
        for process, remote in zip(self.processes, self.remotes, strict=True):
            process.join()
            remote.close()
        self.closed = True


def learn(model: BaseAlgorithm, training: Training, keep: Keep = lambda model: None) -> None:
    """Train, or go on from the checkpoint; an interruption leaves one.

    Args:
        model: As it was made for the first time.
        training: How long, and where the checkpoint is.
        keep: Called with the model whenever a checkpoint was written, and at the end.
    """
    if training.checkpoint.is_file():
        _restore(model, training.checkpoint)
    remaining = training.steps - model.num_timesteps
    if remaining <= 0:
        keep(model)
    else:
        fresh = model.num_timesteps == 0
        with progress(training.name, remaining, "steps") as advance:
            loop = _Loop(training, advance, keep)
            try:
                model.learn(remaining, loop, tb_log_name=training.name, reset_num_timesteps=fresh)
            finally:
                loop.save()
                keep(model)


class _Loop(BaseCallback):
    def __init__(self, training: Training, advance: Callable[[int], None], keep: Keep) -> None:
        super().__init__()
        self._training, self._advance, self._keep = training, advance, keep
        self._saved_at = 0

    def save(self) -> None:
        path = self._training.checkpoint
        partial = path.with_suffix(".partial")
        torch.save(_state(self.model), partial)
        partial.replace(path)
        self._saved_at = self.num_timesteps

    def _on_training_start(self) -> None:
        self._saved_at = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self._saved_at + self._training.every:
            self.save()
            self._keep(self.model)

    def _on_step(self) -> bool:
        self._advance(self.training_env.num_envs)
        return True


def _state(model: BaseAlgorithm) -> dict[str, Any]:
    variables = model._get_torch_save_params()[1]  # SAC's temperature, which is no module's
    return {
        "steps": model.num_timesteps,
        "updates": model._n_updates,  # type: ignore[attr-defined]
        "parameters": model.get_parameters(),
        "variables": {name: getattr(model, name).detach() for name in variables},
    }


def _restore(model: BaseAlgorithm, path: Path) -> None:
    state = torch.load(path, weights_only=True)
    model.set_parameters(state["parameters"])
    for name, value in state["variables"].items():
        getattr(model, name).data.copy_(value)
    model.num_timesteps = int(state["steps"])
    model._n_updates = int(state["updates"])  # type: ignore[attr-defined]
    if isinstance(model, OffPolicyAlgorithm):
        # Its replay buffer is empty again: learning waits until it holds as much as at the start.
        model.learning_starts += model.num_timesteps
    # Not the episodes of the beginning once more.
    model.set_random_seed((model.seed or 0) + model.num_timesteps)
