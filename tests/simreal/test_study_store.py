"""What a node without the driver's disk starts from."""

import shutil
import tempfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from simreal.errors import SimrealError
from simreal.study import Source
from simreal.study.store import Store, fetch_source


@pytest.fixture(autouse=True)
def own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "node").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "node"))


def small_run(smoke_run: Path, folder: Path) -> Path:
    """What cells start from, with less data."""
    for name in ("policy", "teacher"):
        shutil.copytree(smoke_run / name, folder / name)
    (folder / "source").mkdir()
    np.save(folder / "source" / "action.npy", np.arange(6.0))
    return folder


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_source_comes_back_from_a_store_without_the_disk_it_was_put_from(
    kind: str, smoke_run: Path, tmp_path: Path
) -> None:
    run, url = small_run(smoke_run, tmp_path / "run"), f"{kind}://{tmp_path}/store"
    before = Source.of_run(run)
    address = Store(url).put_source(run)
    put = fsspec.filesystem(kind).find(f"{tmp_path}/store")
    assert Store(url).put_source(run) == address
    assert fsspec.filesystem(kind).find(f"{tmp_path}/store") == put  # once
    shutil.rmtree(run)
    after = Source.of_run(fetch_source(address))
    assert after.sha256 == before.sha256
    assert np.array_equal(np.load(after.data / "action.npy"), np.arange(6.0))
    fsspec.filesystem(kind).rm(f"{tmp_path}/store", recursive=True)
    assert fetch_source(address).is_dir()  # once a machine


def test_what_is_not_what_its_name_says_is_refused(smoke_run: Path, tmp_path: Path) -> None:
    run = small_run(smoke_run, tmp_path / "run")
    address = Store(str(tmp_path / "store")).put_source(run)
    broken = max((tmp_path / "store" / "files").iterdir(), key=lambda path: path.stat().st_size)
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(SimrealError, match=rf"files/{broken.name}: damaged"):
        fetch_source(address)
    broken.unlink()
    with pytest.raises(SimrealError, match=rf"files/{broken.name} cannot be read from .*give --store"):
        fetch_source(address)
    assert list((tmp_path / "node").glob("*/*/")) == []  # nothing half-fetched


def test_no_store_is_one_error() -> None:
    with pytest.raises(SimrealError, match="store s4://bucket: cannot be used: "):
        Store("s4://bucket")
