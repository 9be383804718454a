"""Latency, noise and dropped frames between the world and the policy."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from envs.parameters import SensingParameters

Observation = dict[str, NDArray[np.generic]]


class Sensing:
    """The sensors of one episode; all randomness comes from the generator it is given."""

    def __init__(self, parameters: SensingParameters, rng: np.random.Generator) -> None:
        self.parameters = parameters
        self.rng = rng
        self._observations: deque[Observation] = deque(maxlen=parameters.observation_delay_steps + 1)
        self._actions: deque[NDArray[np.float64]] = deque(maxlen=parameters.action_delay_steps + 1)

    def joint_positions(self, true_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return joint positions as the encoders tell them, (n,) rad."""
        bias = np.resize(self.parameters.proprio_bias_rad, true_rad.shape)
        noise = self.rng.normal(0.0, 1.0, true_rad.shape) * self.parameters.proprio_noise_std_rad
        return true_rad + bias + noise

    def frame_dropped(self) -> bool:
        """Tell whether the camera misses this frame."""
        return bool(self.rng.random() < self.parameters.frame_drop_probability)

    def delayed_observation(self, observation: Observation) -> Observation:
        """Return the observation that is `observation_delay_steps` old (the first one at the start)."""
        self._observations.append(observation)
        return self._observations[0]

    def delayed_action(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the action that takes effect now: zero until the first has arrived."""
        if not self._actions:
            self._actions.extend([np.zeros_like(action)] * self.parameters.action_delay_steps)
        noise = self.rng.normal(0.0, 1.0, action.shape) * self.parameters.action_noise_std
        self._actions.append(np.clip(action + noise, -1.0, 1.0))
        return self._actions[0]
