import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policies import (
    ActionSpec,
    BundleError,
    BundleManifest,
    ObservationSpec,
    Policy,
    PolicyBundle,
    PolicyConfig,
)

OBSERVATION = {
    "image": np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8),
    "proprio": np.zeros((5, 11), np.float32),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(auxiliary=(("goal_position", 3),)))
    manifest = BundleManifest(
        (ObservationSpec("image", (64, 64, 3), "uint8", layout="HWC RGB"),),
        ActionSpec((3,), "end-effector displacement", ("x_m", "y_m", "z_m"), (0.05,) * 3, ("m",) * 3),
        0.05, "simreal/PandaReach-v0", "source", 0, policy.config, extra={"a": [1, 2]},
    )  # fmt: skip
    return PolicyBundle(policy, manifest).save(tmp_path / "bundle")


def test_round_trip(saved: Path) -> None:
    first = PolicyBundle.load(saved)
    second = PolicyBundle.load(first.save(saved.parent / "copy"))
    assert second.manifest == first.manifest
    assert np.array_equal(first.policy.act(OBSERVATION), second.policy.act(OBSERVATION))


def test_one_observation_and_a_batch_act_alike(saved: Path) -> None:
    policy = PolicyBundle.load(saved).policy
    one = policy.act({name: value[2] for name, value in OBSERVATION.items()})
    assert np.allclose(policy.act(OBSERVATION)[2], one, atol=1e-5)
    assert one.shape == (3,)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "policy.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (
            lambda f: (f / "policy.safetensors").write_bytes((f / "policy.safetensors").read_bytes()[:-9]),
            "truncated",
        ),
        (lambda f: (f / "policy.json").write_text((f / "policy.json").read_text()[:-30]), "truncated"),
        (lambda f: flip(f / "policy.safetensors"), "tampered"),
        (lambda f: edit(f, control_period_s=0.1), "tampered"),
        (lambda f: edit(f, format=2), "newer format 2"),
        (lambda f: (f / "policy.safetensors").unlink(), "missing"),
        (lambda f: (f / "policy.json").unlink(), "missing"),
    ],
)
def test_faults_are_named(saved: Path, fault: Any, word: str) -> None:
    fault(saved)
    with pytest.raises(BundleError, match=word) as error:
        PolicyBundle.load(saved)
    assert str(saved) in str(error.value)


def test_nothing_is_replaced_unasked(saved: Path) -> None:
    bundle = PolicyBundle.load(saved)
    with pytest.raises(FileExistsError):
        bundle.save(saved)
    bundle.save(saved, overwrite=True)
    assert sorted(path.name for path in saved.parent.iterdir()) == ["bundle"]


def test_weights_that_are_not_finite_are_not_saved(saved: Path) -> None:
    bundle = PolicyBundle.load(saved)
    with torch.no_grad():
        next(bundle.policy.parameters()).fill_(torch.nan)
    with pytest.raises(BundleError, match="NaN"):
        bundle.save(saved.parent / "other")
    assert not (saved.parent / "other").exists()
