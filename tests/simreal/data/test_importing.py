"""A round trip through the formats of other tools keeps every number; what is wrong is named."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies import PolicyBundle
from simreal.cli import main
from simreal.data.episodes import Episode
from simreal.data.importing.convert import convert
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.errors import SimrealError

pytest.importorskip("rosbags", reason="needs the extra bags")
SLOW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


def collected(recording: Path, mapping: Path | None, bundle: Path, out: Path) -> Path:
    more = [] if mapping is None else ["--map", str(mapping)]
    arguments = ["collect", "--from", str(recording), *more, "--policy", str(bundle), "--out", str(out)]
    assert main([*arguments, "--quiet"]) == 0
    return out / "dataset"


def test_v3_through_the_command_line(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, bundle_path: Path, tmp_path: Path
) -> None:
    proprio = next(spec for spec in bundle.manifest.observations if spec.name == "proprio")
    names = DatasetNames(proprio.order, bundle.manifest.action.order, "reach")
    dataset = write_dataset(tmp_path / "d", episodes, 20, names)
    found = collected(dataset, None, bundle_path, tmp_path / "o")
    recordings.assert_same(found, episodes)
    assert LeRobotDataset(found).action_scale == bundle.manifest.action.scale


def test_v21(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, bundle_path: Path, tmp_path: Path
) -> None:
    recording = recordings.write_v21(tmp_path / "r", episodes, bundle.manifest)
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.v21_map())
    recordings.assert_same(collected(recording, mapping, bundle_path, tmp_path / "o"), episodes)


def test_v21_with_video(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    recording = recordings.write_v21(tmp_path / "r", episodes, bundle.manifest, video=True)
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.v21_map())
    convert(recording, mapping, bundle.manifest, tmp_path / "o")
    recordings.assert_same(tmp_path / "o", episodes, images=False)
    for one, other in zip(episodes, LeRobotDataset(tmp_path / "o"), strict=True):
        error = np.abs(np.float32(one.images) - other.images).mean(axis=(1, 2, 3))
        crossed = np.abs(np.float32(one.images[0]) - other.images[-1]).mean()
        assert error.max() < crossed  # the codec loses a little, and no frame is another's
        assert error.max() < 8


@SLOW
@given(data=st.data())
def test_a_bag(
    data: Any, recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path_factory: Any
) -> None:
    storage = data.draw(st.sampled_from(["sqlite3", "mcap"]))
    marker = data.draw(st.booleans())
    shown = [data.draw(st.sampled_from(episodes)) for _ in range(data.draw(st.integers(1, 3)))]
    folder = tmp_path_factory.mktemp("bag")
    recording = recordings.write_bag(folder / "b", shown, storage, marker)
    content = recordings.bag_map()
    if marker:  # without pauses nobody could tell whose success it is
        content |= {"marker": recordings.BEGIN, "success": "all"}
        shown = [dataclasses.replace(episode, success=True) for episode in shown]
    mapping = recordings.write_map(folder / "m.yaml", content)
    made = convert(recording, mapping, bundle.manifest, folder / "o")
    recordings.assert_same(folder / "o", shown)
    assert made.left_out == ()


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_bag_through_the_command_line(
    storage: str, recordings: Any, episodes: list[Episode], bundle_path: Path, tmp_path: Path
) -> None:
    recording = recordings.write_bag(tmp_path / "b", episodes, storage)
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.bag_map())
    recordings.assert_same(collected(recording, mapping, bundle_path, tmp_path / "o"), episodes)


def test_a_folder_of_images(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, bundle_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for index, image in enumerate(episodes[0].images):
        (folder / f"frame{index}.png").write_bytes(recordings.png(image))
    (folder / "frame99.png").write_bytes(recordings.png(episodes[0].images[0])[:100])
    made = convert(folder, None, bundle.manifest, tmp_path / "o")
    (found,) = LeRobotDataset(tmp_path / "o")
    assert np.array_equal(found.images, episodes[0].images)  # 10 comes after 9
    assert LeRobotDataset(tmp_path / "o").images_only
    assert len(made.left_out) == 1
    assert "frame99.png" in made.left_out[0]


def test_units_signs_and_offsets(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    recording = recordings.write_v21(tmp_path / "r", episodes[:1], bundle.manifest)
    proprio = next(spec for spec in bundle.manifest.observations if spec.name == "proprio")
    elements: dict[str, Any] = {name: name for name in proprio.order}
    elements["panda_joint2_rad"] = {"key": "panda_joint5_rad", "unit": "deg", "sign": -1, "offset": 0.5}
    elements["gripper_x_m"] = {"key": "gripper_z_m", "unit": "mm"}
    content = recordings.v21_map() | {"proprio": {"elements": elements}}
    content["action"]["elements"]["y_m"] = {"key": "delta_y", "unit": "mm"}
    convert(recording, recordings.write_map(tmp_path / "m.yaml", content), bundle.manifest, tmp_path / "o")
    (found,), was = LeRobotDataset(tmp_path / "o"), episodes[0]
    assert np.allclose(found.proprio[:, 1], 0.5 - was.proprio[:, 4] * math.pi / 180, atol=1e-6)
    assert np.allclose(found.proprio[:, 7], was.proprio[:, 9] / 1000, atol=1e-7)
    assert np.array_equal(found.proprio[:, 2], was.proprio[:, 2])
    assert np.allclose(found.actions[:, 1], was.actions[:, 1] / 1000 / 0.05, atol=1e-6)  # 0.05 m: full action


def test_crop_resize_and_colour(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    folder, image = tmp_path / "images", episodes[0].images[0]
    folder.mkdir()
    wide = cv2.copyMakeBorder(image.repeat(2, 0).repeat(2, 1), 0, 0, 20, 30, cv2.BORDER_CONSTANT)
    (folder / "0.png").write_bytes(recordings.png(wide[..., ::-1]))
    with pytest.raises(SimrealError, match=r"178x128 pixels, the policy reads 64x64: .*resize: \[64, 64\]"):
        convert(folder, None, bundle.manifest, tmp_path / "o")
    content = {"image": {"crop": [20, 0, 128, 128], "resize": [64, 64], "colour": "bgr"}}
    convert(folder, recordings.write_map(tmp_path / "m.yaml", content), bundle.manifest, tmp_path / "o")
    (found,) = LeRobotDataset(tmp_path / "o")
    assert np.array_equal(found.images[0], image)


def test_kinematics_and_joint_targets(
    world: Any, recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    """A bag of ros2_control's: joints and joint targets only; gripper and action follow from them."""
    from envs.controller import Controller

    controller = Controller(world.unwrapped.robot.spec)
    episode = episodes[0]
    joints = np.float64(episode.proprio[:, :7])
    wanted = np.clip(episode.actions, -0.5, 0.5)
    targets = np.stack([controller.joint_targets(j, a) for j, a in zip(joints, wanted, strict=True)])
    targets[0] = joints[0]
    shown = dataclasses.replace(episode, actions=targets.astype(np.float32))
    recording = recordings.write_bag(tmp_path / "b", [shown], "mcap")
    content = recordings.bag_map()
    for axis in "xyz":
        del content["proprio"]["elements"][f"gripper_{axis}_m"]
    content["proprio"]["kinematics"] = True
    names = [f"panda_joint{n}_rad" for n in range(1, 8)]
    content["action"] = {"from": "/action", "targets": {n: f"data.{i}" for i, n in enumerate(names)}}
    convert(recording, recordings.write_map(tmp_path / "m.yaml", content), bundle.manifest, tmp_path / "o")
    (found,) = LeRobotDataset(tmp_path / "o")
    assert np.allclose(found.proprio[:, 7:10], episode.proprio[:, 7:10], atol=2e-3)
    assert np.allclose(found.actions[0], 0, atol=1e-5)
    reached = controller.kinematics.forward_many(targets) - controller.kinematics.forward_many(joints)
    assert np.allclose(found.actions * 0.05, reached, atol=1e-6)
    assert np.abs(reached).max() > 0.01
    controller.kinematics.close()


def change(content: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = to
    return content


@pytest.mark.parametrize(
    ("path", "to", "words"),
    [
        (("imgae",), {}, "unknown key 'imgae'; did you mean 'image'"),
        (("image", "from"), "/camera/image_rw", "'/camera/image_rw'; did you mean '/camera/image_raw'"),
        (("image", "crop"), [0, 0, 64], "takes [left, top, width, height] in pixels"),
        (("image", "crop"), [32, 0, 64, 64], "reaches out of 64x64"),
        (("image", "colour"), "brg", "colour: 'brg'; did you mean"),
        (("proprio", "elements", "panda_joint8_rad"), "x", "did you mean 'panda_joint"),
        (("proprio", "elements", "panda_joint1_rad"), "position.panda_jont1", "'position.panda_joint1'"),
        (("proprio", "elements", "panda_joint1_rad"), {"key": "x", "unit": "degree"}, "did you mean 'deg'"),
        (("proprio", "elements", "panda_joint1_rad"), {"key": "x", "unit": "mm"}, "valid: deg, rad"),
        (("proprio", "elements", "panda_joint1_rad"), {"key": "x", "sign": 2}, "sign: 2"),
        (("proprio", "elements"), {}, "no entry for panda_joint1_rad, panda_joint2_rad"),
        (("action", "from"), "/actoin", "no topic '/actoin'; did you mean '/action'"),
        (("success",), "yes", "success: takes all, none"),
        (("success",), None, "success: a bag does not tell"),
        (("action", "elements", "x_m"), {"key": "data.0", "unit": "m"}, "of a full action, which is 0.05 m"),
        (("clock",), "stamp", "clock: 'stamp'"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_is_named(
    path: Any, to: Any, words: str, recordings: Any, one_bag: Path, bundle: PolicyBundle, tmp_path: Path
) -> None:
    content = recordings.bag_map()
    change(content, *path, to=to)
    mapping = recordings.write_map(tmp_path / "m.yaml", content)
    with pytest.raises(SimrealError) as error:
        convert(one_bag, mapping, bundle.manifest, tmp_path / "o")
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "o").exists()


@pytest.fixture(scope="session")
def one_bag(recordings: Any, episodes: list[Episode], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings.write_bag(tmp_path_factory.mktemp("bag") / "b", episodes, "mcap")


@pytest.mark.parametrize("hertz", [10, 30])
def test_another_rate_is_refused(
    hertz: int, recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    times = (np.arange(len(episodes[0])) / hertz).astype(np.float32)
    other = dataclasses.replace(episodes[0], timestamps=times)
    recording = recordings.write_bag(tmp_path / "b", [other], "sqlite3")
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.bag_map())
    with pytest.raises(SimrealError, match=rf"/camera/image_raw: {hertz} Hz; the policy acts at 20 Hz"):
        convert(recording, mapping, bundle.manifest, tmp_path / "o")
    recording = recordings.write_v21(tmp_path / "r", episodes, bundle.manifest)
    info = recording / "meta" / "info.json"
    info.write_text(info.read_text().replace('"fps": 20', f'"fps": {hertz}'))
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.v21_map())
    with pytest.raises(SimrealError, match=rf"info.json: fps: {hertz} Hz; the policy acts at 20 Hz"):
        convert(recording, mapping, bundle.manifest, tmp_path / "o")


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize(
    ("dropped", "words"),
    [
        (lambda topic, number: topic == "/joint_states" and number % 2, "/joint_states: 10 Hz; .* at 20 Hz"),
        (lambda topic, number: topic == "/action" and number % 2, "/action: 10 Hz; the policy acts at 20 Hz"),
        (lambda topic, _: topic == "/gripper", "nothing on topic '/gripper'"),
        (lambda topic, _: topic == "/camera/image_raw", "nothing on topic '/camera/image_raw'"),
    ],
)
def test_a_topic_of_too_few_messages_is_named(
    dropped: Any, words: str, storage: str, recordings: Any, episodes: list[Episode],
    bundle: PolicyBundle, tmp_path: Path,
) -> None:  # fmt: skip
    recording = recordings.write_bag(tmp_path / "b", episodes, storage, dropped=dropped)
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.bag_map())
    with pytest.raises(SimrealError, match=words) as error:
        convert(recording, mapping, bundle.manifest, tmp_path / "o")
    assert str(recording) in str(error.value)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("topic", "end", "begin"), [("/joint_states", 6, 8), ("/action", 5, 7)])
def test_messages_dropped_in_mid_bag_split_the_episode(
    topic: str, end: int, begin: int, recordings: Any, episodes: list[Episode], bundle: PolicyBundle,
    tmp_path: Path,
) -> None:  # fmt: skip
    """The first image without a state has one of a period ago still, the last without a command the next."""
    recording = recordings.write_bag(
        tmp_path / "b", episodes, "mcap", dropped=lambda name, number: name == topic and 5 <= number < 8
    )
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.bag_map())
    made = convert(recording, mapping, bundle.manifest, tmp_path / "o")
    found = list(LeRobotDataset(tmp_path / "o"))
    assert [len(episode) for episode in found] == [end, 12 - begin, *map(len, episodes[1:])]
    assert np.array_equal(found[0].images, episodes[0].images[:end])
    # Success is said at the end, and is the last part's alone.
    assert episodes[0].success
    assert [episode.success for episode in found[:2]] == [False, True]
    assert np.array_equal(found[1].images, episodes[0].images[begin:])
    known = "actions" if topic == "/joint_states" else "proprio"
    assert np.array_equal(getattr(found[1], known), getattr(episodes[0], known)[begin:])
    (note,) = made.left_out
    assert f"{recording}: 2 images without a state or a command near them left out" in note


def test_images_lost_in_mid_bag_are_told(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    recording = recordings.write_bag(
        tmp_path / "b",
        episodes,
        "mcap",
        dropped=lambda name, number: name == "/camera/image_raw" and 5 <= number < 8,
    )
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.bag_map())
    made = convert(recording, mapping, bundle.manifest, tmp_path / "o")
    (note,) = made.left_out
    assert "/camera/image_raw: images are missing at 1 places within episodes" in note
    assert [len(episode) for episode in LeRobotDataset(tmp_path / "o")] == [9, *map(len, episodes[1:])]


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("described", [True, False])
def test_of_a_bag_cut_off_the_good_episodes_are_kept(
    storage: str,
    described: bool,
    recordings: Any,
    episodes: list[Episode],
    bundle: PolicyBundle,
    tmp_path: Path,
) -> None:
    recording = recordings.write_bag(tmp_path / "b", episodes, storage)
    if not described:  # as a recorder that was killed leaves it
        (recording / "metadata.yaml").unlink()
    (file,) = [path for path in recording.iterdir() if path.suffix in (".db3", ".mcap")]
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.85)])
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.bag_map())
    made = convert(recording, mapping, bundle.manifest, tmp_path / "o")
    kept = list(LeRobotDataset(tmp_path / "o"))
    recordings.assert_same(tmp_path / "o", episodes[: len(kept)])
    assert len(kept) == 2
    assert file.name in made.left_out[0]
    assert "cut off" in made.left_out[0]
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(SimrealError, match=r"b/b.*cut off"):
        convert(recording, mapping, bundle.manifest, tmp_path / "o2")


def test_of_a_dataset_cut_off_the_good_episodes_are_kept(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    recording = recordings.write_v21(tmp_path / "r", episodes, bundle.manifest)
    file = recording / "data/chunk-000/episode_000001.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.v21_map())
    made = convert(recording, mapping, bundle.manifest, tmp_path / "o")
    recordings.assert_same(tmp_path / "o", [episodes[0], episodes[2]])
    assert "episode 1 left out" in made.left_out[0]
    assert "episode_000001.parquet" in made.left_out[0]


def test_of_a_dataset_of_several_files_one_cut_off_the_others_are_kept(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    recording = recordings.write_v30(tmp_path / "r", episodes, bundle.manifest, rows_split=1)
    file = recording / "data/chunk-000/file-001.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    mapping = recordings.write_map(tmp_path / "m.yaml", {"image": {"from": recordings.FRONT}})
    made = convert(recording, mapping, bundle.manifest, tmp_path / "o")
    recordings.assert_same(tmp_path / "o", [episodes[0], episodes[2]], images=False)
    (note,) = made.left_out
    assert "episode 1 left out" in note
    assert f"{file}: cut off or damaged" in note


def test_a_nan_is_named(
    recordings: Any, episodes: list[Episode], bundle: PolicyBundle, tmp_path: Path
) -> None:
    proprio = episodes[1].proprio.copy()
    recording = recordings.write_v21(tmp_path / "r", episodes, bundle.manifest)
    proprio[3, 2] = np.nan
    mapping = recordings.write_map(tmp_path / "m.yaml", recordings.v21_map())
    broken = Path(recording / "data/chunk-000/episode_000001.parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(broken)
    at = table.column_names.index("observation.state")
    pq.write_table(table.set_column(at, "observation.state", pa.array(list(proprio))), broken)
    with pytest.raises(SimrealError, match=r"episode 1: .*proprio: holds a NaN"):
        convert(recording, mapping, bundle.manifest, tmp_path / "o")


def test_the_recording_is_never_overwritten(one_bag: Path, bundle_path: Path, tmp_path: Path) -> None:
    arguments = ["collect", "--from", str(one_bag), "--policy", str(bundle_path), "--overwrite", "--quiet"]
    inside = one_bag.parent / "dataset"
    inside.symlink_to(one_bag)
    assert main([*arguments, "--out", str(one_bag.parent)]) == 2
    inside.unlink()
    assert list(one_bag.glob("*.mcap"))
