"""LeRobot datasets whose images are in mp4 files: every frame at its place, and what is wrong is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policies import PolicyBundle
from simreal.cli import main
from simreal.data.episodes import Episode
from simreal.data.importing.convert import Converted, convert
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.errors import SimrealError

FRONT = "observation.images.front"
AV1 = Path(__file__).parent / "av1.mp4"  # 20 frames at 20 Hz, as LeRobot's usual encoder writes them

Recorded = Callable[..., Path]
Imported = Callable[..., Converted]


@pytest.fixture
def recorded(recordings: Any, numbered: list[Episode], bundle: PolicyBundle, tmp_path: Path) -> Recorded:
    def write(version: str = "v3.0") -> Path:
        if version == "v3.0":
            return recordings.write_v30(tmp_path / "r", numbered, bundle.manifest)
        return recordings.write_v21(tmp_path / "r", numbered, bundle.manifest, video=True)

    return write


@pytest.fixture
def imported(recordings: Any, bundle: PolicyBundle, tmp_path: Path) -> Imported:
    def run(recording: Path, **content: Any) -> Converted:
        if "v2.1" in (recording / "meta/info.json").read_text():
            content = recordings.v21_map() | content
        mapping = recordings.write_map(tmp_path / "m.yaml", {"image": {"from": FRONT}} | content)
        return convert(recording, mapping, bundle.manifest, tmp_path / "o")

    return run


@pytest.fixture(scope="session")
def numbered(episodes: list[Episode]) -> list[Episode]:
    """Every frame of all three differs from its neighbours by far more than the codec loses."""
    made, first = [], 0
    for episode in episodes:
        levels = 8 * (first + np.arange(len(episode)))
        images = np.broadcast_to(levels[:, None, None, None], episode.images.shape).astype(np.uint8)
        made.append(Episode(images.copy(), *list(vars(episode).values())[1:]))
        first += len(episode)
    return made


def shown(path: Path) -> list[list[int]]:
    """Return the number of every frame, by episode."""
    return [[round(float(image.mean()) / 8) for image in episode.images] for episode in LeRobotDataset(path)]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_every_frame_is_at_its_place(
    version: str,
    recorded: Recorded,
    imported: Imported,
    recordings: Any,
    numbered: list[Episode],
    tmp_path: Path,
) -> None:
    made = imported(recorded(version))
    assert made.left_out == ()
    recordings.assert_same(tmp_path / "o", numbered, images=False)
    assert shown(tmp_path / "o") == [list(range(12)), list(range(12, 19)), list(range(19, 28))]


def test_what_the_codec_loses_is_little(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, bundle_path: Path, tmp_path: Path
) -> None:
    recording = recordings.write_v30(tmp_path / "r", episodes, bundle.manifest, split=3)
    mapping = recordings.write_map(tmp_path / "m.yaml", {"image": {"from": FRONT}})
    arguments = ["--from", str(recording), "--map", str(mapping), "--policy", str(bundle_path)]
    assert main(["collect", *arguments, "--out", str(tmp_path / "o"), "--quiet"]) == 0
    recordings.assert_same(tmp_path / "o/dataset", episodes, images=False)
    for one, other in zip(episodes, LeRobotDataset(tmp_path / "o/dataset"), strict=True):
        assert np.abs(np.float32(one.images) - other.images).mean(axis=(1, 2, 3)).max() < 8


def test_the_other_camera(recorded: Recorded, imported: Imported, tmp_path: Path) -> None:
    imported(recorded(), image={"from": "observation.images.wrist"})
    (first, *_) = LeRobotDataset(tmp_path / "o")
    assert first.images[0].mean() > 250


def edit_info(recording: Path, **changed: Any) -> None:
    path = recording / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def edit_rows(recording: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = recording / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows), path)


def longer(rows: list[dict[str, Any]]) -> None:
    rows[0][f"videos/{FRONT}/to_timestamp"] = 0.55


def without_start(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        del row[f"videos/{FRONT}/from_timestamp"]


def slow_rows(recording: Path) -> None:
    path = recording / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    times = pa.array(np.float32(2) * table["timestamp"].to_numpy())
    pq.write_table(table.set_column(table.column_names.index("timestamp"), "timestamp", times), path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: edit_info(path, video_path=None), r"info.json: video_path: None; usual is 'videos/"),
        (lambda path: edit_info(path, video_path="{c}.mp4"), r"video_path: '\{c\}.mp4'; usual is 'videos/"),
        (lambda path: edit_info(path, data_path="{:d}"), r"info.json: data_path: '\{:d\}'; usual is 'data/"),
        (lambda path: edit_info(path, fps="20"), "info.json: fps: '20'; takes frames per second"),
        (lambda path: edit_info(path, codebase_version="v2.0"), "_version: 'v2.0'; read are v2.1, v3.0"),
        (lambda path: edit_rows(path, without_start), f"-000.parquet: no 'videos/{FRONT}/from_timestamp'"),
        (lambda path: shutil.rmtree(path / "meta/episodes"), "meta/episodes: .*chunk-000/file-000.parquet"),
        (lambda path: slow_rows(path), "file-000.parquet: timestamp: 10 Hz; the policy acts at 20 Hz"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    spoil: Any, words: str, recorded: Recorded, imported: Imported, tmp_path: Path
) -> None:
    recording = recorded()
    spoil(recording)
    with pytest.raises(SimrealError, match=words) as error:
        imported(recording)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "o").exists()


def test_a_video_at_another_rate_is_refused(recorded: Recorded, imported: Imported, recordings: Any) -> None:
    recording = recorded()
    first = recording / f"videos/{FRONT}/chunk-000/file-000.mp4"
    recordings.write_video(first, np.zeros((19, 64, 64, 3), np.uint8), 10)
    with pytest.raises(SimrealError, match=r"file-000.mp4: 10 Hz; .*info.json says 20 Hz"):
        imported(recording)


def test_a_wrong_camera_is_named(recorded: Recorded, imported: Imported) -> None:
    with pytest.raises(SimrealError, match=r"image: from: 'observation.images.frnt'; did you mean .*front"):
        imported(recorded(), image={"from": "observation.images.frnt"})


@pytest.mark.parametrize("how", ["missing", "cut off", "too short"])
def test_of_a_video_cut_off_the_whole_episodes_are_kept(
    how: str,
    recorded: Recorded,
    imported: Imported,
    recordings: Any,
    numbered: list[Episode],
    tmp_path: Path,
    capfd: Any,
) -> None:
    recording = recorded()
    first = recording / f"videos/{FRONT}/chunk-000/file-000.mp4"
    if how == "missing":
        first.unlink()
    elif how == "cut off":
        first.write_bytes(first.read_bytes()[:-300])
    else:
        recordings.write_video(first, np.concatenate([one.images for one in numbered[:2]])[:-1])
    made = imported(recording)
    kept = shown(tmp_path / "o")
    whole = [list(range(12))] if how == "too short" else []
    assert kept == [*whole, list(range(19, 28))]
    assert len(made.left_out) == 3 - len(kept)
    words = (
        "6 of 7 frames"
        if how == "too short"
        else {"missing": "missing", "cut off": "cut off or damaged"}[how]
    )
    assert all("file-000.mp4" in note and words in note for note in made.left_out)
    assert capfd.readouterr().err == ""  # what is wrong is said once, and by nobody else


def test_an_episode_longer_than_its_part_of_the_video_is_left_out(
    recorded: Recorded, imported: Imported, tmp_path: Path
) -> None:
    recording = recorded()
    edit_rows(recording, longer)
    made = imported(recording)
    assert shown(tmp_path / "o") == [list(range(12, 19)), list(range(19, 28))]
    assert "episode 0 left out" in made.left_out[0]
    assert "11 of 12 frames" in made.left_out[0]


def test_a_codec_that_nobody_here_decodes_is_refused(
    recorded: Recorded, imported: Imported, capfd: Any
) -> None:
    recording = recorded()
    shutil.copy(AV1, recording / f"videos/{FRONT}/chunk-000/file-000.mp4")
    with pytest.raises(SimrealError, match=r"file-000.mp4: AV1 .* ffmpeg -i \S+ -c:v libx264"):
        imported(recording)
    assert capfd.readouterr().err == ""
