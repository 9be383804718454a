import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import SAC

from simreal.pretrain.reinforcement import Training, learn, vectorize


def pendulum() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("Pendulum-v1")


def test_closing_waits_for_no_answer_that_was_taken() -> None:
    environments = vectorize(lambda: gymnasium.make("Pendulum-v1"), 2)
    processes: Any = environments.venv
    environments.reset()
    environments.step_async(np.zeros((2, 1), np.float32))
    processes.remotes[0].recv()  # as an interruption in the middle of `step_wait` leaves it
    closing = threading.Thread(target=environments.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert not any(process.is_alive() for process in processes.processes)


def test_sac_fills_its_buffer_again_before_it_learns_again(tmp_path: Path) -> None:
    def model() -> SAC:
        return SAC("MlpPolicy", pendulum(), learning_starts=50, batch_size=16, buffer_size=500)

    checkpoint = tmp_path / "sac.pt"
    learn(model(), Training("sac", 100, checkpoint, every=1000))
    resumed = model()
    learn(resumed, Training("sac", 140, checkpoint, every=1000))
    assert resumed.num_timesteps == 140
    assert resumed.learning_starts == 150
    learn(resumed, Training("sac", 100, checkpoint, every=1000))  # nothing left to do
    assert resumed._n_updates == 50  # those of the first hundred steps
