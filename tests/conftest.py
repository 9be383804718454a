"""What several tests share: one torch thread, a world, and a tiny pretrained run."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from filelock import FileLock

import envs  # noqa: F401  registers the ids
from simreal import workers
from simreal.cli import main


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the run, which are long, in the middle: of two processes the second begins there.

    So the first does others while the second makes the run, and at the end short ones are left to share.
    """
    long = [item for item in items if "smoke_run" in getattr(item, "fixturenames", ())]
    short = [item for item in items if item not in long]
    half = min(len(items) // 2, len(short))
    items[:] = [*short[:half], *long, *short[half:]]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    workers.set_threads(1)
    yield
    workers.shut_down()


@pytest.fixture(scope="session")
def world() -> Iterator[Any]:
    env = gymnasium.make("simreal/PandaReach-v0", privileged=True, render_mode="rgb_array")
    yield env
    env.close()


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The main job at its smallest, through the command line; run once for all processes of pytest."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "run" / "smoke"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "result.json").is_file():
            assert main(["run", "--preset", "smoke", "--out", str(folder), "--quiet", "--overwrite"]) == 0
    return folder


@pytest.fixture
def taught(smoke_run: Path, tmp_path: Path) -> Path:
    """A pretraining that was interrupted when it had its teacher, the slowest part: for `--resume`."""
    folder = tmp_path / "taught"
    shutil.copytree(smoke_run / "teacher", folder / "teacher")
    shutil.copy(smoke_run / "config.json", folder)
    return folder
