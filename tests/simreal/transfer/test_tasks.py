from pathlib import Path

import numpy as np
import pytest

from envs import Domain
from simreal.data.source import Frames, SourceData
from simreal.data.target import TargetData
from simreal.transfer import SourceAccess
from simreal.transfer.tasks import CameraChange, source_tasks


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def test_no_change_is_none(images: np.ndarray) -> None:
    assert np.array_equal(CameraChange().apply(images), images)
    assert not CameraChange().described().any()


def test_a_third_of_a_turn_of_hue_moves_every_channel_on(images: np.ndarray) -> None:
    assert np.array_equal(CameraChange(hue_deg=120.0).apply(images), np.roll(images, 1, axis=-1))
    assert np.array_equal(CameraChange(swapped=True).apply(images), images[..., [0, 2, 1]])


def test_the_camera_moves(images: np.ndarray) -> None:
    shifted = CameraChange(shift=(0.25, 0.0)).apply(images)
    assert np.array_equal(shifted[:, :, 4:], images[:, :, :-4])
    assert CameraChange(shift=(0.1, 0.0)).apply(images[..., :1]).shape == (4, 16, 16, 1)


def test_descriptions_tell_changes_apart() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([CameraChange.sample(rng).described() for _ in range(300)])
    assert np.abs(drawn).max() <= 2.0
    assert (drawn.std(axis=0) > 0.1).all()


def test_a_task_has_one_appearance_and_splits_its_frames(tmp_path: Path) -> None:
    count, size = 20, 8
    columns = {
        "shade": np.full((count, size, size), 255, np.uint8),
        "segment": np.ones((count, size, size), np.uint8),
        "depth": np.ones((count, size, size), np.float16),
        "camera": np.zeros((count, 13), np.float32),
        "proprio": np.arange(count, dtype=np.float32)[:, None],
        "action": np.zeros((count, 3), np.float32),
        "goal_position": np.zeros((count, 3), np.float32),
    }
    data = SourceData.create(tmp_path, count, Frames(columns))
    data.append(Frames(columns), count)
    low, high = [0.0] * 3, [1.0] * 3
    plain = {"name": "x", "severity": 0, "appearance": {"table_rgb": {"uniform": [low, high]}}}
    source, rng = SourceAccess(data, Domain.from_plain(plain)), np.random.default_rng(0)
    free = source.batch(rng, 8).observation["image"].numpy()
    assert len({tuple(image[0, 0]) for image in free}) == 8
    task = source_tasks(source, 4)(rng)
    seen = [batch.observation["image"].numpy() for batch in (task.support, task.query)]
    assert len({tuple(image[0, 0]) for image in np.concatenate(seen)}) == 1
    other = source_tasks(source, 4)(rng).support.observation["image"].numpy()
    assert not np.array_equal(other[0], seen[0][0])


def test_recorded_data_makes_tasks_too(images: np.ndarray) -> None:
    numbers = np.arange(4, dtype=np.float32)[:, None]
    data = TargetData(images, numbers, np.zeros((4, 3), np.float32), np.arange(4))
    task = source_tasks(data, 5)(np.random.default_rng(1))
    assert task.support.observation["image"].shape == (5, 16, 16, 3)
    assert len(task.query) == 5
