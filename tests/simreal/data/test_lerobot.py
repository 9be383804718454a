import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.data.episodes import Episode
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.errors import SimrealError

NAMES = DatasetNames(("a_rad", "b_rad"), ("x_m",), "reach")


def make(rng: np.random.Generator, count: int, success: bool) -> Episode:
    return Episode(
        rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
        rng.normal(size=(count, 2)).astype(np.float32),
        rng.normal(size=(count, 1)).astype(np.float32),
        rng.normal(size=count).astype(np.float32),
        (np.arange(count) / 20).astype(np.float32),
        success,
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    return write_dataset(tmp_path / "d", (make(rng, n, n > 3) for n in (3, 5)), 20, NAMES)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=4), st.integers(0, 999))
def test_a_round_trip_keeps_every_number(tmp_path_factory: Any, shapes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    episodes = [make(rng, *shape) for shape in shapes]
    found = LeRobotDataset(write_dataset(tmp_path_factory.mktemp("d") / "x", episodes, 20, NAMES))
    assert len(found) == len(episodes)
    for one, other in zip(episodes, found, strict=True):
        for name in ("images", "proprio", "actions", "rewards", "timestamps"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert one.success == other.success


def test_columns_are_of_the_types_that_lerobot_casts_to(dataset: Path) -> None:
    schema = pq.read_schema(dataset / "data/chunk-000/file-000.parquet")
    assert str(schema.field("observation.state").type) == "fixed_size_list<element: float>[2]"
    # LeRobot's get_hf_features_from_features: what has shape [1] is a number, not a list of one.
    assert str(schema.field("action").type) == "float"
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["observation.state"]["length"] == 2
    assert features["action"] == {"dtype": "float32", "_type": "Value"}
    assert list(features) == schema.names


def test_layout_is_version_3(dataset: Path) -> None:
    info = json.loads((dataset / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert info["total_frames"] == 8
    table = pq.read_table(dataset / "data/chunk-000/file-000.parquet")
    assert table["index"].to_pylist() == list(range(8))
    assert table["frame_index"].to_pylist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert table["next.success"].to_pylist() == [False] * 7 + [True]
    episodes = pq.read_table(dataset / "meta/episodes/chunk-000/file-000.parquet")
    assert episodes["dataset_to_index"].to_pylist() == [3, 8]
    stats = json.loads((dataset / "meta/stats.json").read_text())
    actions = np.array(table["action"].to_pylist())
    assert np.allclose(stats["action"]["std"], actions.std(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (lambda d: (d / "meta/info.json").unlink(), "info.json"),
        (lambda d: (d / "meta/info.json").write_text("{"), "truncated"),
        (lambda d: (d / "meta/info.json").write_text('{"codebase_version": "v2.1"}'), "v2.1"),
        (lambda d: cut(d / "data/chunk-000/file-000.parquet"), "truncated"),
        (lambda d: (d / "data/chunk-000/file-000.parquet").unlink(), "missing"),
    ],
)
def test_faults_are_named(dataset: Path, fault: Any, word: str) -> None:
    fault(dataset)
    with pytest.raises(SimrealError, match=word) as error:
        list(LeRobotDataset(dataset))
    assert str(dataset) in str(error.value)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_nothing_is_left_half_written(tmp_path: Path) -> None:
    def broken() -> Any:
        yield make(np.random.default_rng(0), 3, True)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_dataset(tmp_path / "d", broken(), 20, NAMES)
    assert list(tmp_path.iterdir()) == []


def test_bad_episodes_are_refused() -> None:
    good = make(np.random.default_rng(0), 3, True)
    actions = good.actions.copy()
    actions[0] = np.nan
    with pytest.raises(SimrealError, match="actions: holds a NaN"):
        Episode(good.images, good.proprio, actions, good.rewards, good.timestamps, True)
