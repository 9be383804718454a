import numpy as np
import pytest
import torch

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from policies.encoders import SpatialSoftmax

NATURE = EncoderConfig("nature-cnn", (("proprio", 11),), feature_size=75, hidden=())
STATE = EncoderConfig("state", image_shape=None, feature_size=16)


def observation(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8),
        "proprio": rng.normal(size=(count, 11)).astype(np.float32),
    }


def tensors(count: int) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in observation(count).items()}


def test_spatial_softmax_finds_a_peak() -> None:
    maps = torch.full((1, 2, 5, 9), -50.0)
    maps[0, 0, 1, 8] = maps[0, 1, 4, 2] = 50.0
    found = SpatialSoftmax(5, 9)(maps)
    assert torch.allclose(found, torch.tensor([[1.0, -0.5, -0.5, 1.0]]), atol=1e-6)


def test_keypoints_and_feature_stay_float32_under_autocast() -> None:
    encoder = Policy(PolicyConfig()).encoder
    maps = torch.randn(4, 32, 16, 16).bfloat16()
    exact = encoder.keypoints(maps.double().float())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(encoder.keypoints(maps), exact, atol=1e-6)
        assert encoder(tensors(2)).dtype == torch.float32


@pytest.mark.parametrize("config", [EncoderConfig(), STATE, NATURE])
def test_a_frame_does_not_depend_on_its_batch(config: EncoderConfig) -> None:
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(config))
    many, one = policy.act(observation(8)), policy.act({n: v[3] for n, v in observation(8).items()})
    assert np.allclose(many[3], one, atol=1e-5)
    assert one.shape == (3,)
    assert policy.features(tensors(2)).shape == (2, config.feature_size)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "resnet"}, "resnet"),
        ({"kind": "state"}, "image_shape"),
        ({"channels": (16,)}, "1 channels with 4 strides"),
        ({"hidden": (0,)}, "size of 0"),
        ({"vectors": (("image", 3),)}, "names"),
        ({"kind": "nature-cnn", "image_shape": (20, 20, 3), "hidden": ()}, "36"),
    ],
)
def test_impossible_configurations_are_named(change: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        EncoderConfig(**change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="squash 'sigmoid'"):
        HeadConfig(squash="sigmoid")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"image": np.zeros((64, 64, 3), np.float32)}, "float32"),
        ({"image": np.zeros((3, 64, 64), np.uint8)}, "shape"),
        ({"proprio": np.zeros((5, 11), np.float32)}, "only some entries"),
    ],
)
def test_observations_that_do_not_fit_are_refused(change: dict[str, np.ndarray], word: str) -> None:
    good = {name: value[0] for name, value in observation(1).items()}
    policy = Policy(PolicyConfig())
    with pytest.raises(ValueError, match=word):
        policy.act(good | change)
    with pytest.raises(ValueError, match="no 'proprio'"):
        policy.act({"image": good["image"]})
