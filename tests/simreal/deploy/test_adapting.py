"""Adaptation beside the loop: swapped in whole, rolled back when it harms, never in the loop's way."""

import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import make_failure, make_nudge

from policies import Policy, PolicyBundle
from simreal.cli import main
from simreal.deploy.adapting import AdaptingRuntime, load_weights
from simreal.deploy.adapting_process import flat_weights, pad
from simreal.deploy.config import LoopConfig
from simreal.deploy.drift import DriftStatistics, calibrate
from simreal.deploy.guard import BASELINE, FEWEST, Guard, Signs
from simreal.deploy.run import deploy
from simreal.deploy.runtime import OnnxRuntime, TorchRuntime
from simreal.deploy.session import Session


@pytest.fixture(scope="module")
def folder(untrained: PolicyBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "policy"
    untrained.save(path)
    return path


@pytest.fixture(scope="module")
def observations() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return [
        {
            "image": np.roll(image, k % 64, axis=1),
            "proprio": (0.1 * rng.normal(size=11)).astype(np.float32),
        }
        for k in range(200)
    ]


@pytest.fixture(scope="module")
def drift(untrained_model: Path, observations: list[dict[str, np.ndarray]]) -> DriftStatistics:
    base = OnnxRuntime(untrained_model)
    features = np.stack([base.decide(seen).feature for seen in observations])
    proprio = np.stack([seen["proprio"] for seen in observations])
    return calibrate(np.split(features, 10), np.split(proprio, 10), 0.05)


@pytest.fixture
def runtime(
    request: pytest.FixtureRequest, untrained: PolicyBundle, untrained_model: Path, folder: Path,
    drift: DriftStatistics,
) -> Iterator[AdaptingRuntime]:  # fmt: skip
    base = OnnxRuntime(untrained_model)
    base.drift = drift
    factory = make_failure if request.param is None else functools.partial(make_nudge, folder, request.param)
    with AdaptingRuntime(base, untrained, factory) as runtime:
        yield runtime


def decide_until(
    runtime: AdaptingRuntime, observations: list[dict[str, np.ndarray]], done: Any, seconds: float = 240.0
) -> None:
    end, k = time.monotonic() + seconds, 0
    while not done():
        assert time.monotonic() < end, runtime.adaptation
        runtime.decide(observations[k % len(observations)])
        time.sleep(0.005)
        k += 1


@pytest.mark.parametrize("runtime", [0.0], indirect=True)
def test_weights_are_swapped_in_whole(
    runtime: AdaptingRuntime, untrained: PolicyBundle, observations: list[dict[str, np.ndarray]]
) -> None:
    decide_until(runtime, observations, lambda: runtime.adaptation.swaps >= 3)
    assert runtime.adaptation.rolled_back is None
    wanted = TorchRuntime(untrained).decide(observations[0]).action  # a nudge of 0 leaves the weights
    assert np.allclose(runtime.decide(observations[0]).action, wanted, atol=1e-5)


@pytest.mark.parametrize("runtime", [0.05], indirect=True)
def test_a_harmful_update_is_rolled_back_to_the_original_weights(
    runtime: AdaptingRuntime, untrained_model: Path, observations: list[dict[str, np.ndarray]]
) -> None:
    decide_until(runtime, observations, lambda: runtime.adaptation.rolled_back)
    found = runtime.adaptation
    assert found.swaps >= 1
    assert "drift rose" in str(found.rolled_back)
    base = OnnxRuntime(untrained_model)
    for seen in observations[:20]:
        assert np.array_equal(runtime.decide(seen).action, base.decide(seen).action)
    assert runtime.adaptation.swaps == found.swaps  # whatever is still learned


@pytest.mark.parametrize("runtime", [float("nan")], indirect=True)
def test_weights_that_give_no_number_never_act(
    runtime: AdaptingRuntime, observations: list[dict[str, np.ndarray]]
) -> None:
    end = time.monotonic() + 240
    while not runtime.adaptation.rolled_back:
        assert time.monotonic() < end
        for seen in observations[:20]:
            assert np.isfinite(runtime.decide(seen).action).all()
    assert runtime.adaptation.rolled_back == "an action that is not finite"


@pytest.mark.parametrize("runtime", [None], indirect=True)
def test_without_a_learner_the_original_weights_go_on(
    runtime: AdaptingRuntime, observations: list[dict[str, np.ndarray]]
) -> None:
    decide_until(runtime, observations, lambda: runtime.adaptation.error)
    assert runtime.adaptation.error == "RuntimeError: no learner today"
    assert (runtime.adaptation.swaps, runtime.adaptation.rolled_back) == (0, None)


def test_weights_survive_the_way_between_processes(untrained: PolicyBundle) -> None:
    flat = flat_weights(untrained.policy)
    other = Policy(untrained.manifest.policy)
    load_weights(other, flat)
    assert np.array_equal(flat_weights(other), flat)


@settings(max_examples=100, deadline=None)
@given(before=st.floats(0, 2), after=st.floats(0, 5), few=st.integers(0, 6), many=st.integers(0, 20))
def test_the_guard_keeps_its_rule(before: float, after: float, few: int, many: int) -> None:
    guard = Guard()
    for _ in range(BASELINE):
        assert not guard.ready
        guard.note(Signs(before, few), adapted=False)
    assert guard.ready
    stays = [guard.note(Signs(after, many), adapted=True) for _ in range(FEWEST)]
    assert all(stays[:-1])  # too few to tell
    slack = 1e-9  # of a mean
    if after > 1.5 * before + 0.1 + slack or many > 1.5 * few + 0.5:
        assert not stays[-1]
        assert not guard.ready
    elif after < 1.5 * before + 0.1 - slack and many < 1.5 * few + 0.5:
        assert stays[-1]


def test_pad_learns_beside_the_loop(
    smoke_run: Path, untrained_model: Path, drift: DriftStatistics,
    observations: list[dict[str, np.ndarray]],
) -> None:  # fmt: skip
    """Inverse dynamics, learned from the run's source data and then from what is seen."""
    base, bundle = OnnxRuntime(untrained_model), PolicyBundle.load(smoke_run / "policy")
    base.drift = drift
    with AdaptingRuntime(base, bundle, pad(smoke_run / "policy", smoke_run, 0, updates=3)) as runtime:
        done = lambda: runtime.adaptation.updates >= 3 or runtime.adaptation.error  # noqa: E731
        decide_until(runtime, observations, done)
        assert runtime.adaptation.error is None


def test_a_running_loop_goes_back_to_the_original_weights(
    smoke_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner that spoils the encoder, beside a real-time loop that misses no deadline for it."""
    spoil = functools.partial(make_nudge, smoke_run / "policy", 0.05)
    monkeypatch.setattr("simreal.deploy.run.pad", lambda *session: spoil)
    loop = LoopConfig(on_drift="slow")
    session = Session(smoke_run / "policy", source=smoke_run, adapt="pad", seconds=9.0, loop=loop)
    found = deploy(session, tmp_path / "d")
    assert found.adaptation is not None
    assert found.adaptation.swaps >= 1
    assert found.adaptation.rolled_back is not None
    assert "rose" in found.adaptation.rolled_back
    assert found.fault is None


def test_pad_says_what_it_needs(untrained_model: Path, folder: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = ["deploy", "--adapt", "pad", "--pacing", "lock-step", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--policy", str(untrained_model)]) == 2
    assert "give its bundle" in capsys.readouterr().err
