"""Adaptation during deployment: the policy goes on learning from what its actions do.

Policy adaptation during deployment, Hansen et al. 2021, arXiv:2007.04309.
"""

import copy
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies import Policy

Observation = dict[str, NDArray[Any]]


class OnlineAdapter:
    r"""A policy that adapts its perception between two actions.

    A control loop calls `act`, sends the action, and calls `learn` while it is carried out; in a rollout
    `act_and_learn` goes where a policy's `act` goes. `learn` takes one step on the last transitions,

    .. math:: \min_p \frac{1}{n} \sum_t \| g(p(o_t), p(o_{t+1})) - a_t \|^2

    over perception :math:`p` alone, with the head :math:`g` that `learn_inverse_dynamics` returned and the
    policy's own head as they are. Exists for a camera that loses contrast at work, when nothing was
    recorded before; under a shift so far that the loss leads nowhere, it does not help. The policy given
    is not changed.
    """

    def __init__(
        self, policy: Policy, head: nn.Module, learning_rate: float = 1e-2, transitions: int = 16
    ) -> None:
        """Prepare to adapt.

        Args:
            policy: Acts, and is the start of what adapts.
            head: (B, 2 P) to (B, A), from `learn_inverse_dynamics`.
            learning_rate: Of plain gradient steps; 0 learns nothing. On digits of low
                contrast 380 steps took off a third of the error at 3e-3, half at 1e-2; at 2e-2 some overshot.
            transitions: How many of the last ones a step looks at.
        """
        self.policy = copy.deepcopy(policy).requires_grad_(False)
        self._head = copy.deepcopy(head).requires_grad_(False)
        self._seen: deque[tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]] = deque(maxlen=transitions)
        self._last: tuple[Observation, NDArray[np.float32]] | None = None
        parameters = _perception_parameters(self.policy)
        self._optimizer = torch.optim.SGD(parameters, learning_rate)

    def start_episode(self) -> None:
        """Forget the last observation: what follows is no consequence of the last action."""
        self._last = None

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Return the action in [-1, 1] for one observation."""
        if self._last is not None:
            before, action = self._last
            self.add(before["image"], observation["image"], action)
        action = self.policy.act(observation)
        self._last = (observation, action)
        return action

    def act_and_learn(self, observation: Observation) -> NDArray[np.float32]:
        """Return the action for one observation, and learn from what the last ones did."""
        action = self.act(observation)
        self.learn()
        return action

    def add(self, before: NDArray[np.uint8], after: NDArray[np.uint8], action: NDArray[np.float32]) -> None:
        """Take a transition: images (H, W, C), and the action (A,) in [-1, 1] between them."""
        self._seen.append((before, after, action))

    def learn(self) -> float | None:
        """Take one step on the last transitions; return its loss, or None before there are two."""
        if len(self._seen) < 2:
            return None
        before, after, actions = (
            torch.from_numpy(np.stack(column)) for column in zip(*self._seen, strict=True)
        )
        both = torch.cat([self._perceive(before), self._perceive(after)], dim=1)
        loss = (self._head(both) - actions).square().mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())

    def _perceive(self, images: Tensor) -> Tensor:
        perception: Tensor = self.policy.encoder.perceive({"image": images})
        return perception


def _perception_parameters(policy: Policy) -> list[nn.Parameter]:
    """Return the parameters that perception depends on, freed to learn."""
    names = ("convolutions", "keypoints", "image_feature")
    modules = [getattr(policy.encoder, name) for name in names if hasattr(policy.encoder, name)]
    return [parameter.requires_grad_(True) for module in modules for parameter in module.parameters()]
