"""The process in which a deployed policy learns, at the lowest priority."""

import contextlib
import functools
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from policies import Policy, PolicyConfig
from simreal import workers
from simreal.deploy.newest import Newest
from simreal.errors import SimrealError

_IDLE_S = 0.005
UPDATES = 300  # that teach inverse dynamics, beforehand: some 20 s at the lowest priority


class Learner(Protocol):
    """Whatever learns from what a policy's actions do."""

    policy: Policy
    """The weights of now."""

    def add(self, before: NDArray[np.uint8], after: NDArray[np.uint8], action: NDArray[np.float32]) -> None:
        """Take a transition: images (H, W, 3), action (A,) in [-1, 1] in between."""

    def learn(self) -> float | None:
        """Take one step; return its loss, or None if there is too little to learn from."""


Factory = Callable[[], Learner]


def pad(bundle: Path, source: Path | None, seed: int, updates: int = UPDATES) -> Factory:
    """Return what makes a learner by inverse dynamics (Hansen et al. 2021, arXiv:2007.04309).

    The source data teaches the head that tells the action from two frames, in the other process; the loop
    runs the original weights meanwhile.

    Raises:
        SimrealError: if there is no source data.
    """
    if source is None:
        raise SimrealError("--adapt pad needs --source RUN: frames on which to learn inverse dynamics")
    return functools.partial(_make_pad, bundle, source, seed, updates)


def _make_pad(bundle: Path, source: Path, seed: int, updates: int) -> Learner:
    # Here, so that other learners are there sooner.
    from simreal.adapt import open_source
    from simreal.bundles import load_bundle
    from simreal.transfer import Problem
    from simreal.transfer.online import OnlineAdapter
    from simreal.transfer.self_supervised import learn_inverse_dynamics

    loaded = load_bundle(bundle)
    problem = Problem(loaded.policy, seed, source=open_source(source, loaded), updates=updates)
    policy, head = learn_inverse_dynamics(problem, lambda losses: None)
    return OnlineAdapter(policy, head)


def transition_layout(config: PolicyConfig) -> np.dtype[Any]:
    """Return the layout of a transition."""
    image = config.observation_shapes["image"]
    size = (config.action_size,)
    return np.dtype([("before", np.uint8, image), ("after", np.uint8, image), ("action", np.float32, size)])


def weight_layout(policy: Policy) -> np.dtype[Any]:
    """Return the layout of a policy's weights."""
    return np.dtype([("weights", np.float32, (flat_weights(policy).size,))])


def flat_weights(policy: Policy) -> NDArray[np.float32]:
    """Return every float32 number of a policy's state, (P,), in the state's order."""
    parts = [tensor for tensor in policy.state_dict().values() if tensor.dtype == torch.float32]
    return torch.cat([part.detach().reshape(-1) for part in parts]).numpy()


def work(
    factory: Factory, config: PolicyConfig, size: int, connection: Connection, transitions: Any, weights: Any
) -> None:
    """Learn from every transition that is the newest, until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the loop to handle
    os.nice(19)
    workers.begin()
    heard = Newest(transitions, transition_layout(config))
    told = Newest(weights, np.dtype([("weights", np.float32, (size,))]))
    try:
        learner, seen = factory(), 0
        while not connection.poll(_IDLE_S):
            record = None if heard.count == seen else heard.read()
            if record is None:
                continue
            seen = heard.count
            learner.add(record["before"], record["after"], record["action"])
            if learner.learn() is not None:
                told.write(weights=flat_weights(learner.policy))
    except EOFError:
        pass
    except Exception as error:  # the loop goes on with the weights it has, and says so at its end
        with contextlib.suppress(OSError):
            connection.send_bytes(f"{type(error).__name__}: {' '.join(str(error).split())}".encode())
