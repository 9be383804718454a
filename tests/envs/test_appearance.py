from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs.appearance import Appearance, compose, noise_offsets
from envs.camera import BACKGROUND, TABLE, Layers, stack
from envs.parameters import TEXTURES, world_from_values


@pytest.fixture(scope="module")
def layers(world: Any) -> Layers:
    frames = []
    for seed in range(6):
        world.reset(seed=seed, options={"domain": "source"})
        frames.append(world.unwrapped.render_layers())
    return stack(frames)


@pytest.mark.parametrize("name", ["source", "workshop@5", "night-shift@3", "photo-table@5", "hue-shift@4"])
def test_one_frame_and_a_batch_are_equal(layers: Layers, name: str) -> None:
    rng = np.random.default_rng(0)
    domain, count = envs.load_domain(name), len(layers.shade)
    columns, offsets = domain.sample_columns(rng, count), noise_offsets(rng, count)
    batch = compose(layers, Appearance(columns, offsets))
    for index in range(count):
        one = Appearance({key: value[[index]] for key, value in columns.items()}, offsets[[index]])
        assert np.array_equal(batch[index], compose(layers[index], one))


def test_nominal_goal_is_red(layers: Layers) -> None:
    image = compose(layers, Appearance({}, np.zeros(6, np.int64)))
    goal = image[layers.segment == 3].astype(int)
    assert len(goal) > 20
    assert (goal[:, 0] > goal[:, 1] + 30).all()


def test_channel_order_swaps_channels(layers: Layers) -> None:
    def picture(order: str) -> Any:
        return compose(
            layers[0], Appearance.of_world(world_from_values({"appearance.channel_order": order}), 0)
        )

    assert np.array_equal(picture("bgr"), picture("rgb")[..., ::-1])


@pytest.mark.parametrize(
    "textures",
    [("checker", None), ("coffee", None), (None, "checker"), ("checker", "coffee"), ("coffee", "checker")],
)
def test_a_texture_lies_on_its_segment_alone(layers: Layers, textures: tuple[str | None, ...]) -> None:
    plain, values, segments = Appearance({}, np.zeros(6, np.int64)), {}, []
    for surface, segment, name in zip(("table", "background"), (TABLE, BACKGROUND), textures, strict=True):
        if name is not None:
            segments.append(segment)
            values[f"appearance.{surface}_texture"] = np.full(6, name)
            values[f"appearance.{surface}_texture_strength"] = np.ones(6)
    textured = compose(layers, Appearance(values, np.zeros(6, np.int64)))
    changed = (textured != compose(layers, plain)).any(axis=-1)
    assert not changed[~np.isin(layers.segment, segments)].any()
    for segment in segments:
        assert changed[layers.segment == segment].mean() > 0.5


@pytest.mark.parametrize("gamma", [1.0, 0.7])
def test_too_much_light_is_white(layers: Layers, gamma: float) -> None:
    values = {"appearance.light_gain": np.full(6, 50.0), "appearance.gamma": np.full(6, gamma)}
    image = compose(layers, Appearance(values, np.zeros(6, np.int64)))
    assert (image[layers.segment == TABLE] == 255).all()


def test_texture_lies_on_the_table_when_the_camera_moves(world: Any) -> None:
    """The same point of the table has the same brightness in two views; another point has not."""
    values = {"appearance.table_texture": "checker", "appearance.table_texture_strength": 1.0}
    sizes = []
    for shift in (0.0, 0.3):
        replayed = world_from_values({**values, "scene.camera_position_offset_m": (0.0, shift, 0.0)})
        world.reset(seed=5, options={"world": replayed})
        view = world.unwrapped.render_layers(256)
        image = compose(view, Appearance.of_world(replayed, 0)).astype(float).mean(axis=-1)
        size, camera = 256, view.camera.astype(float)
        centre = (np.arange(size) + 0.5) / size * 2 - 1
        right, up = np.meshgrid(centre, -centre)
        rays = (
            np.stack([right * camera[12], up * camera[12], np.ones_like(right)], -1)
            @ camera[3:12].reshape(3, 3).T
        )
        point = camera[:3] + rays * view.depth[..., None].astype(float)
        near = (
            (np.abs(point[..., 0] - 0.5) < 0.02) & (np.abs(point[..., 1] + 0.02) < 0.02) & (view.segment == 1)
        )
        assert near.sum() > 20
        sizes.append(image[near].mean())
    assert abs(sizes[0] - sizes[1]) < 12


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["source", "workshop@5", "glare@5", "photo-background@4"]))
def test_sampling_is_replayable(seed: int, name: str) -> None:
    domain = envs.load_domain(name)
    assert domain.sample(np.random.default_rng(seed)) == domain.sample(np.random.default_rng(seed))


def test_every_texture_exists() -> None:
    from envs.textures import texture

    for name in TEXTURES:
        assert 0.2 < texture(name).mean() < 0.8, name
