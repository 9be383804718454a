"""Bags that are compressed, whole or by message, and images that are: nothing is lost on the way."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from policies import PolicyBundle
from simreal.cli import main
from simreal.data.episodes import Episode
from simreal.data.importing.convert import Converted, convert
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.errors import SimrealError

pytest.importorskip("rosbags", reason="needs the extra bags")
PACKED = [
    ("sqlite3", "message"),
    ("sqlite3", "file"),
    ("mcap", "message"),
    ("mcap", "file"),
    ("mcap", "storage"),
]
Imported = Callable[..., Converted]


@pytest.fixture
def imported(recordings: Any, bundle: PolicyBundle, tmp_path: Path) -> Imported:
    def run(recording: Path, **content: Any) -> Converted:
        mapping = recordings.write_map(tmp_path / "m.yaml", recordings.bag_map() | content)
        return convert(recording, mapping, bundle.manifest, tmp_path / "o", overwrite=True)

    return run


def only_file(bag: Path) -> Path:
    (file,) = [path for path in bag.iterdir() if path.name != "metadata.yaml"]
    return file


@pytest.mark.parametrize(("storage", "packed"), PACKED)
def test_a_compressed_bag_keeps_every_number(
    storage: str, packed: str, recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path
) -> None:
    bag = recordings.write_bag(tmp_path / "b", episodes, storage, packed=packed)
    file = only_file(bag)
    assert (file.suffix == ".zstd") == (packed == "file")
    for recording in (bag, file):
        assert imported(recording).left_out == ()
        recordings.assert_same(tmp_path / "o", episodes)
    (bag / "metadata.yaml").unlink()  # as a recorder that was killed leaves it
    imported(bag)
    recordings.assert_same(tmp_path / "o", episodes)


def test_a_file_that_was_unpacked_beside_its_archive_counts_once(
    recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path
) -> None:
    bag = recordings.write_bag(tmp_path / "b", episodes, "mcap", packed="file")
    plain = recordings.write_bag(tmp_path / "plain", episodes, "mcap")
    only_file(plain).rename(only_file(bag).with_suffix(""))
    imported(bag)
    recordings.assert_same(tmp_path / "o", episodes)


@pytest.mark.parametrize(("storage", "packed"), PACKED[:-1])
def test_of_a_compressed_bag_cut_off_the_good_episodes_are_kept(
    storage: str, packed: str, recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0)  # does not compress: the cut is where it is without
    shown = [
        dataclasses.replace(one, images=noise.integers(0, 256, one.images.shape, np.uint8))
        for one in episodes
    ]
    file = only_file(recordings.write_bag(tmp_path / "b", shown, storage, packed=packed))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.85)])
    made = imported(file.parent)
    assert made.episodes in (1, 2)
    recordings.assert_same(tmp_path / "o", shown[: made.episodes])
    assert file.name in made.left_out[0]
    assert "cut off" in made.left_out[0]


@pytest.mark.parametrize(("storage", "packed"), PACKED)
def test_a_compressed_bag_cut_off_at_its_beginning_is_named(
    storage: str, packed: str, recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path
) -> None:
    file = only_file(recordings.write_bag(tmp_path / "b", episodes, storage, packed=packed))
    for kept in (0, 50):
        file.write_bytes(file.read_bytes()[:kept] if kept == 0 else bytes(kept))
        with pytest.raises(SimrealError, match=rf"{file.name}: (empty|cut off|no )") as error:
            imported(file.parent)
        assert "\n" not in str(error.value)


def test_another_compression_is_refused(
    recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path
) -> None:
    bag = recordings.write_bag(tmp_path / "b", episodes, "sqlite3", packed="message")
    description = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(
        description.replace("compression_format: zstd", "compression_format: lz4")
    )
    with pytest.raises(SimrealError, match=r"b: not readable .*'lz4' is not supported"):
        imported(bag)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_png_messages_are_kept_bit_for_bit(
    storage: str, recordings: Any, episodes: list[Episode], bundle_path: Path, tmp_path: Path
) -> None:
    bag = recordings.write_bag(tmp_path / "b", episodes, storage, image_format="png", packed="message")
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.bag_map())
    arguments = ["--from", str(bag), "--map", str(mapping), "--policy", str(bundle_path)]
    assert main(["collect", *arguments, "--out", str(tmp_path / "o"), "--quiet"]) == 0
    recordings.assert_same(tmp_path / "o/dataset", episodes)


def test_jpeg_messages_lose_what_jpeg_does(
    recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path
) -> None:
    imported(recordings.write_bag(tmp_path / "b", episodes, "mcap", image_format="jpeg"))
    recordings.assert_same(tmp_path / "o", episodes, images=False)
    for one, other in zip(episodes, LeRobotDataset(tmp_path / "o"), strict=True):
        error = np.abs(np.float32(one.images) - other.images)
        assert error.mean(axis=(1, 2, 3)).max() < 6
        # As JPEG has it, which swapped colours would not be.
        decoded = cv2.imdecode(np.frombuffer(recordings.jpeg(one.images[0]), np.uint8), cv2.IMREAD_COLOR_RGB)
        assert np.array_equal(other.images[0], decoded)


def test_compressed_images_at_another_rate_are_refused(
    recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path
) -> None:
    times = (np.arange(12) / 15).astype(np.float32)
    slow = dataclasses.replace(episodes[0], timestamps=times)
    bag = recordings.write_bag(tmp_path / "b", [slow], "sqlite3", packed="file", image_format="jpeg")
    with pytest.raises(SimrealError, match=r"/camera/image_raw: 15 Hz; the policy acts at 20 Hz"):
        imported(bag)


def test_a_topic_that_holds_no_images_is_named(
    recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path
) -> None:
    bag = recordings.write_bag(tmp_path / "b", episodes, "mcap", image_format="png")
    words = r"m.yaml: image: from: '/begin' has std_msgs/msg/Empty; takes sensor_msgs/msg/Image or "
    with pytest.raises(SimrealError, match=words):
        imported(bag, image={"from": recordings.BEGIN})
    with pytest.raises(
        SimrealError, match=r"m.yaml: '/joint_states' is the image's topic: nothing else comes"
    ):
        imported(bag, image={"from": recordings.JOINTS})


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (lambda png: png[: len(png) // 2], "image 3: 'rgb8; png compressed bgr8' of [0-9]+ bytes is not"),
        (lambda png: b"", "image 3: .* of 0 bytes is not a readable"),
        (lambda png: png16(), "image 3: .*is not a readable image of 8 bits a channel"),
    ],
)  # fmt: skip
def test_a_message_that_is_no_image_is_named(
    spoiled: Any, words: str, recordings: Any, episodes: list[Episode], imported: Imported, tmp_path: Path,
    monkeypatch: Any,
) -> None:  # fmt: skip
    whole, count = recordings.png, iter(range(100))
    monkeypatch.setattr(
        recordings, "png", lambda image: spoiled(whole(image)) if next(count) == 3 else whole(image)
    )
    bag = recordings.write_bag(tmp_path / "b", episodes, "mcap", image_format="png")
    with pytest.raises(SimrealError, match=words):
        imported(bag)


def png16() -> bytes:
    return cv2.imencode(".png", np.full((64, 64, 3), 40_000, np.uint16))[1].tobytes()


def test_images_of_a_folder_that_are_cut_off_are_noted(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    jpeg = recordings.jpeg(episodes[0].images[0])
    flipped = bytearray(recordings.png(episodes[0].images[0]))
    flipped[len(flipped) // 2] ^= 255
    for name, content in {
        "0.png": recordings.png(episodes[0].images[0]), "1.jpg": jpeg[: len(jpeg) // 2], "2.png": png16(),
        "3.png": bytes(flipped), "4.jpg": jpeg,
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
    made = convert(folder, None, bundle.manifest, tmp_path / "o")
    assert made.frames == 2
    assert [note.split(":")[0].rsplit("/", 1)[1] for note in made.left_out] == ["1.jpg", "2.png", "3.png"]
