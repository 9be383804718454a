"""A source whose frames changed under the same weights is no longer what a study was begun with."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simreal.errors import SimrealError
from simreal.study import Place, Source
from simreal.study.unchanged import check_data

OF: Any = ("simreal/PandaReach-v0", "0", Place("", ""))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (data := tmp_path / "run" / "source").mkdir(parents=True)
    np.save(data / "shade.npy", np.random.default_rng(0).integers(256, size=300_000, dtype=np.uint8))
    np.save(data / "action.npy", np.arange(6.0))
    return Source("p", None, None, data, None, (), *OF)  # type: ignore[arg-type]


def test_the_same_data_go_on_wherever_they_lie(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "study" / "source_data.json"
    check_data(path, [source])
    before = path.read_text()
    source.data.parent.rename(tmp_path / "elsewhere")
    moved = dataclasses.replace(source, data=tmp_path / "elsewhere" / "source")
    check_data(path, [moved])
    assert path.read_text() == before


def test_other_data_with_the_same_weights_are_one_error(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "study" / "source_data.json"
    check_data(path, [source])
    np.save(source.data / "shade.npy", np.random.default_rng(1).integers(256, size=300_000, dtype=np.uint8))
    with pytest.raises(SimrealError, match=r"run/source: not the data that .*study was begun with.*--overwr"):
        check_data(path, [source])
    check_data(path, [dataclasses.replace(source, sha256="1")])  # trained anew: its cells have other names
    with pytest.raises(SimrealError):
        check_data(path, [source])
    path.unlink()
    check_data(path, [source])


def test_two_sources_of_the_same_weights_have_the_same_data(source: Source, tmp_path: Path) -> None:
    (other := tmp_path / "other").mkdir()
    np.save(other / "action.npy", np.arange(5.0))
    with pytest.raises(SimrealError, match="other: not the data"):
        check_data(tmp_path / "source_data.json", [source, dataclasses.replace(source, data=other)])
    check_data(tmp_path / "source_data.json", [dataclasses.replace(source, data=tmp_path / "none")])


def test_a_damaged_file_is_one_error(source: Source, tmp_path: Path) -> None:
    (path := tmp_path / "source_data.json").write_text("{")
    with pytest.raises(SimrealError, match=r"source_data\.json: truncated or damaged"):
        check_data(path, [source])
