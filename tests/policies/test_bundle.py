import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import (
    ActionSpec,
    BundleError,
    BundleManifest,
    ObservationSpec,
    Policy,
    PolicyBundle,
    PolicyConfig,
    replace,
)
from policies.bundle import _digest
from policies.plain import from_plain

OBSERVATION = {
    "image": np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8),
    "proprio": np.zeros((5, 11), np.float32),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(auxiliary=(("goal_position", 3),)))
    manifest = BundleManifest(
        (
            ObservationSpec("image", (64, 64, 3), "uint8", layout="HWC RGB"),
            ObservationSpec("proprio", (11,), "float32"),
        ),
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


def forge(folder: Path, **changes: Any) -> None:
    """Edit the manifest and sign it again: what is left to catch is the content itself."""
    path = folder / "policy.json"
    raw = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(raw | {"manifest_sha256": _digest(raw)}))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"colour": 1}, "unknown entry colour"),
        ({"seed": "zero"}, "manifest.seed: 'zero' is no int"),
        ({"weights_bytes": None}, "weights_bytes: None is no int"),
        ({"control_period_s": 0}, "control_period_s"),
        ({"observations": []}, "observations: image is nothing"),
    ],
)
def test_signed_nonsense_is_named(saved: Path, changes: dict[str, Any], word: str) -> None:
    forge(saved, **changes)
    with pytest.raises(BundleError, match=word) as error:
        PolicyBundle.load(saved)
    assert "policy.json" in str(error.value) or "manifest" in str(error.value)


def test_weights_of_another_shape_are_refused(saved: Path) -> None:
    policy = json.loads((saved / "policy.json").read_text())["policy"]
    forge(saved, policy=policy | {"auxiliary": [["goal_position", 4]]})
    with pytest.raises(BundleError, match=r"policy\.safetensors: weights do not fit the manifest"):
        PolicyBundle.load(saved)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    | st.dictionaries(st.integers(), inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(extra=st.dictionaries(st.text(), JSON, max_size=4), period=st.floats(1e-4, 10), seed=st.integers())
def test_any_manifest_round_trips(extra: dict[str, Any], period: float, seed: int) -> None:
    config = PolicyConfig()
    spec = ActionSpec((3,), "joint displacement", ("a", "b", "c"), (0.1, 0.2, 0.3), ("rad",) * 3)
    seen = (ObservationSpec("image", (64, 64, 3), "uint8"), ObservationSpec("proprio", (11,), "float32"))
    first = BundleManifest(seen, spec, period, "id", "d", seed, config, extra=extra)
    text = json.dumps(dataclasses.asdict(first))
    again = from_plain(BundleManifest, json.loads(text))
    assert again == first
    assert _digest(json.loads(text)) == _digest(dataclasses.asdict(first))


def test_overwriting_spares_a_folder_that_is_no_bundle(saved: Path) -> None:
    (saved / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"holds thesis\.txt"):
        PolicyBundle.load(saved).save(saved, overwrite=True)
    assert (saved / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_failed_replacement_leaves_the_old_bundle(
    saved: Path, can_exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = PolicyBundle.load(saved)
    before = (saved / "policy.json").read_bytes()
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError("the disk fell off")
        return rename(path, target)

    def no_exchange(one: Path, other: Path) -> bool:
        if can_exchange:
            raise OSError("the disk fell off")
        return False

    monkeypatch.setattr(replace, "exchange", no_exchange)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="fell off"):
        bundle.save(saved, overwrite=True)
    assert (saved / "policy.json").read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["bundle"]
