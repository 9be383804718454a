"""What pretraining does to images: which rows, how, and what it is for."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from envs import load_domain
from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal import learning
from simreal.data.batch import Batch
from simreal.learning import LearnConfig, Learner, Seen
from simreal.pretrain import augment
from simreal.pretrain.augment import AUGMENTATIONS, Augment, augmented, consistency, seen_domain, terms

SIZE = 16
TRAINED, TEST = 1000, slice(1400, 1797)
# A direction for each digit, of length 0.7.
DIRECTIONS = np.random.default_rng(3).normal(size=(10, 3)).astype(np.float32)
DIRECTIONS *= 0.7 / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


def batch(count: int = 7) -> Batch:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.uint8))
    proprio, action, goal = (torch.from_numpy(each) for each in np.float32(rng.normal(size=(3, count, 2))))
    return Batch({"image": images, "proprio": proprio}, action, {"goal_position": goal})


@pytest.mark.parametrize("how", ["none", "domain"])
def test_what_the_domain_shows_is_left_as_it_is(how: Augment) -> None:
    shown = batch()
    assert augmented(shown, how, np.random.default_rng(1)) is shown
    assert terms(how) == ()


@pytest.mark.parametrize("how", ["random-conv", "overlay"])
@pytest.mark.parametrize("level", [None, 0, 255])
def test_every_second_image_changes_and_no_label(how: Augment, level: int | None) -> None:
    shown = batch()
    if level is not None:
        shown.observation["image"].fill_(level)
    before = shown.observation["image"].clone()
    seen = augmented(shown, how, np.random.default_rng(1))
    images = seen.observation["image"]
    assert (images.dtype, images.shape) == (torch.uint8, before.shape)
    different = (images != before).flatten(1).any(dim=1)
    assert different.tolist() == [True, False] * 3 + [True]
    assert torch.equal(shown.observation["image"], before)  # and not in place
    assert torch.equal(seen.observation["proprio"], shown.observation["proprio"])
    assert torch.equal(seen.action, shown.action)
    assert torch.equal(seen.auxiliary["goal_position"], shown.auxiliary["goal_position"])
    assert terms(how) == ()


def test_consistency_adds_unlabelled_copies_of_every_second_image() -> None:
    shown = batch()
    ways = set()
    for seed in range(8):
        seen = augmented(shown, "consistency", np.random.default_rng(seed))
        images = seen.observation["image"]
        assert images.dtype == torch.uint8
        assert torch.equal(images[:7], shown.observation["image"])
        assert torch.equal(seen.action[:7], shown.action)
        assert torch.equal(seen.auxiliary["goal_position"][:7], shown.auxiliary["goal_position"])
        assert torch.equal(seen.observation["proprio"][7:], shown.observation["proprio"][::2])
        assert (images[7:] != shown.observation["image"][::2]).flatten(1).any(dim=1).all()
        assert len(images) == len(seen.action) == 11
        assert seen.action[7:].isnan().all()
        assert seen.auxiliary["goal_position"][7:].isnan().all()
        # Half of a noisy image is half of its noise; a texture is smooth beside it.
        other = images[7:].float() - 0.5 * shown.observation["image"][::2].float()
        ways.add(bool(other.diff(dim=2).abs().mean() < 20))
    assert ways == {True, False}  # convolved, and under a texture


def test_originals_are_what_the_copies_learn_from() -> None:
    seen = augmented(batch(4), "consistency", np.random.default_rng(0))
    feature = torch.randn(6, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    policy: Any = None
    loss = consistency(Seen(policy, seen, feature, feature, 0.0))
    loss.backward()
    assert feature.grad is not None
    assert feature.grad[:4].abs().max() == 0.0
    assert (feature.grad[4:].abs().sum(dim=1) > 0).all()
    with torch.no_grad():
        feature[4:] = 3 * feature[:4:2] + 1  # normalized features have no scale
    assert consistency(Seen(policy, seen, feature, feature, 0.0)) < 1e-6 * loss


def test_none_shows_the_nominal_appearance_of_the_same_dynamics() -> None:
    domain = load_domain("source")
    kept = seen_domain(domain, "none").distributions
    assert all(seen_domain(domain, how) is domain for how in AUGMENTATIONS if how != "none")
    shown = {key for key in domain.distributions if key.startswith(("appearance.", "sensing.image_"))}
    assert shown
    assert kept == {key: value for key, value in domain.distributions.items() if key not in shown}
    assert any(key.startswith("dynamics.") for key in kept)


def learned(how: Augment, images: np.ndarray, actions: np.ndarray) -> Policy:
    torch.manual_seed(0)
    encoder = EncoderConfig(
        vectors=(), image_shape=(8, 8, 3), feature_size=64, hidden=(64,), channels=(16, 32), strides=(1, 1)
    )
    policy = Policy(PolicyConfig(encoder, HeadConfig((32,)), 3))
    learner, rng = Learner(policy, LearnConfig(200, 5e-3), terms=terms(how)), np.random.default_rng(0)
    for _ in range(200):
        rows = rng.integers(TRAINED, size=64)
        shown = Batch({"image": torch.from_numpy(images[rows])}, torch.from_numpy(actions[rows]), {})
        learner.update(augmented(shown, how, rng))
    return learner.averaged()


def error(policy: Policy, images: np.ndarray, actions: np.ndarray) -> float:
    with torch.inference_mode():
        guess = policy({"image": torch.from_numpy(images.astype(np.uint8))})
    return float((guess - torch.from_numpy(actions)).square().mean())


@pytest.mark.parametrize(
    ("how", "off", "survives"),
    [
        ("domain", False, False),
        ("random-conv", False, True),
        ("overlay", False, True),
        ("consistency", False, True),
        ("consistency", True, False),
    ],
)
def test_other_colours_that_nobody_has_seen(
    how: Augment, off: bool, survives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that was shown digits in white on black, asked about them in pale colours on purple."""
    monkeypatch.setattr(learning, "has_bfloat16", lambda: False)  # the same arithmetic everywhere
    if off:
        monkeypatch.setattr(augment, "_WEIGHT", 0.0)
    found = load_digits()
    images = np.repeat(found.images[..., None] * 15.9, 3, axis=3).astype(np.uint8)
    actions = DIRECTIONS[found.target]
    policy = learned(how, images, actions)
    assert error(policy, images[TEST], actions[TEST]) < 0.04
    left = error(policy, images[TEST] * [0.2, 0.5, 0.3] + [110, 40, 80], actions[TEST])
    assert (left < 0.055) == survives, f"{left:.3f}"
