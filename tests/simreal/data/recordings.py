"""Recordings as other tools write them, and the mapping files for them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from policies import BundleManifest
from simreal.data.episodes import Episode
from simreal.data.lerobot_reader import LeRobotDataset

JOINTS, CAMERA, COMMAND, GRIPPER = "/joint_states", "/camera/image_raw", "/action", "/gripper"
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
REWARD, DONE, BEGIN = "/reward", "/success", "/begin"
START_NS, PAUSE_NS = 1_700_000_000_000_000_000, 3_000_000_000


def png(image: Any) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def jpeg(image: Any) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def write_v21(path: Path, episodes: list[Episode], manifest: BundleManifest, video: bool = False) -> Path:
    """LeRobot v2.1: one parquet an episode, JSON lines beside it. fps 20."""
    proprio = next(spec for spec in manifest.observations if spec.name == "proprio")
    for index, episode in enumerate(episodes):
        count = len(episode)
        columns: dict[str, Any] = {
            "observation.state": list(episode.proprio),
            "action": list(episode.actions),
            "timestamp": episode.timestamps,
            "frame_index": np.arange(count),
            "episode_index": np.full(count, index),
            "next.reward": episode.rewards,
            "next.success": (np.arange(count) == count - 1) & episode.success,
        }
        place = path / f"data/chunk-000/episode_{index:06d}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        if video:
            write_video(path / f"videos/chunk-000/{FRONT}/episode_{index:06d}.mp4", episode.images)
        else:
            columns[FRONT] = [
                {"bytes": png(image), "path": f"{i}.png"} for i, image in enumerate(episode.images)
            ]
        pq.write_table(pa.table(columns), place)
    meta = path / "meta"
    meta.mkdir()
    rows = [{"episode_index": i, "tasks": ["reach"], "length": len(e)} for i, e in enumerate(episodes)]
    (meta / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (meta / "tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": "reach"}) + "\n")
    vector = {"dtype": "float32"}
    features = {
        FRONT: {
            "dtype": "video" if video else "image",
            "shape": [64, 64, 3],
            "names": ["height", "width", "channel"],
        },
        "observation.state": vector | {"shape": [11], "names": {"motors": list(proprio.order)}},
        "action": vector | {"shape": [3], "names": ["delta_x", "delta_y", "delta_z"]},
        "next.reward": vector | {"shape": [1], "names": None},
        "next.success": {"dtype": "bool", "shape": [1], "names": None},
    }
    info = {
        "codebase_version": "v2.1", "fps": 20, "chunks_size": 1000, "features": features,
        "total_episodes": len(episodes), "robot_type": "panda",
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }  # fmt: skip
    (meta / "info.json").write_text(json.dumps(info))
    return path


def write_video(path: Path, images: Any, hertz: float = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), hertz, (64, 64))
    for image in images:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()


def v21_map() -> dict[str, Any]:
    return {"action": {"elements": {f"{axis}_m": f"delta_{axis}" for axis in "xyz"}}}


def write_v30(
    path: Path, episodes: list[Episode], manifest: BundleManifest, split: int = 2, rows_split: int = 1000
) -> Path:
    """LeRobot v3.0 with video: `split` episodes to a file, `rows_split` to a parquet, and a second camera."""
    proprio = next(spec for spec in manifest.observations if spec.name == "proprio")
    lengths = [len(episode) for episode in episodes]
    rows: list[dict[str, Any]] = []
    for index, length in enumerate(lengths):
        row = {"episode_index": index, "length": length, "tasks": ["reach"], "stats/action/mean": [0.0]}
        row |= {"data/chunk_index": 0, "data/file_index": index // rows_split}
        begin = sum(lengths[index - index % split : index]) / 20
        for key in (FRONT, WRIST):
            row |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": index // split}
            row |= {
                f"videos/{key}/from_timestamp": begin,
                f"videos/{key}/to_timestamp": begin + length / 20,
            }
        rows.append(row)
    for first in range(0, len(episodes), split):
        shown = np.concatenate([episode.images for episode in episodes[first : first + split]])
        name = f"chunk-000/file-{first // split:03d}.mp4"
        write_video(path / "videos" / FRONT / name, shown)
        write_video(path / "videos" / WRIST / name, 255 - shown)
    ends = [np.arange(length) == length - 1 for length in lengths]
    columns = {
        "observation.state": list(np.concatenate([episode.proprio for episode in episodes])),
        "action": list(np.concatenate([episode.actions for episode in episodes])),
        "timestamp": np.concatenate([episode.timestamps for episode in episodes]),
        "episode_index": np.repeat(np.arange(len(episodes)), lengths),
        "next.reward": np.concatenate([episode.rewards for episode in episodes]),
        "next.success": np.concatenate([e & one.success for e, one in zip(ends, episodes, strict=True)]),
    }
    for place in ("data", "meta/episodes"):
        (path / place / "chunk-000").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path / "meta/episodes/chunk-000/file-000.parquet")
    table = pa.table(columns)
    for first in range(0, len(episodes), rows_split):
        part = table.slice(sum(lengths[:first]), sum(lengths[first : first + rows_split]))
        pq.write_table(part, path / f"data/chunk-000/file-{first // rows_split:03d}.parquet")
    video = {"dtype": "video", "shape": [64, 64, 3], "names": ["height", "width", "channels"]}
    features = {FRONT: video, WRIST: video}
    features |= {
        "observation.state": {"dtype": "float32", "shape": [11], "names": list(proprio.order)},
        "action": {"dtype": "float32", "shape": [3], "names": list(manifest.action.order)},
        "next.reward": {"dtype": "float32", "shape": [1], "names": None},
        "next.success": {"dtype": "bool", "shape": [1], "names": None},
    }
    info = {
        "codebase_version": "v3.0", "fps": 20, "features": features, "total_episodes": len(episodes),
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }  # fmt: skip
    (path / "meta" / "info.json").write_text(json.dumps(info))
    return path


def write_bag(
    path: Path, episodes: list[Episode], storage: str, marker: bool = False, packed: str = "none",
    image_format: str = "raw", dropped: Callable[[str, int], bool] = lambda topic, number: False,
) -> Path:  # fmt: skip
    """A bag: joints in another order and in degrees' place, the image, and the command after each image.

    With `marker` no pause parts the episodes, but a message does. `packed` is one of rosbags' modes of
    compression, `image_format` raw, png or jpeg. `dropped` tells which message of a topic, counted from 0,
    the recorder missed.
    """
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    camera = "sensor_msgs/msg/Image" if image_format == "raw" else "sensor_msgs/msg/CompressedImage"
    names = {
        JOINTS: "sensor_msgs/msg/JointState", CAMERA: camera, REWARD: "std_msgs/msg/Float32",
        COMMAND: "std_msgs/msg/Float64MultiArray", GRIPPER: "geometry_msgs/msg/PointStamped",
        DONE: "std_msgs/msg/Bool", BEGIN: "std_msgs/msg/Empty",
    }  # fmt: skip

    def header(time_ns: int) -> Any:
        stamp = types["builtin_interfaces/msg/Time"](sec=time_ns // 10**9, nanosec=time_ns % 10**9)
        return types["std_msgs/msg/Header"](stamp=stamp, frame_id="")

    bag = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    bag.set_compression(CompressionMode[packed.upper()], CompressionFormat.ZSTD)
    with bag as writer:
        topics = {topic: writer.add_connection(topic, name, typestore=store) for topic, name in names.items()}

        def write(topic: str, when: int, **fields: Any) -> None:
            message = types[names[topic]](**fields)
            # A recorder gets a message some milliseconds after it was stamped.
            raw = store.serialize_cdr(message, names[topic])
            received.append((when + 200_000, topic, bytes(raw)))

        received: list[tuple[int, str, bytes]] = []
        begin = START_NS
        for episode in episodes:
            stamps = begin + np.round(np.float64(episode.timestamps) * 1e9).astype(np.int64)
            if marker:
                write(BEGIN, int(stamps[0]) - 2_000_000, structure_needs_at_least_one_member=0)
            for row, when in enumerate(map(int, stamps)):
                joints = np.float64(episode.proprio[row])
                order = [3, 1, 0, 2, 6, 5, 4]
                fingers = [joints[10], 0.0]
                write(
                    JOINTS, when - 1_000_000, header=header(when - 1_000_000),
                    name=[*(f"panda_joint{index + 1}" for index in order), "finger1", "finger2"],
                    position=np.array([*joints[order], *fingers]), velocity=np.zeros(9), effort=np.zeros(9),
                )  # fmt: skip
                point = types["geometry_msgs/msg/Point"](*joints[7:10])
                write(GRIPPER, when - 1_000_000, header=header(when - 1_000_000), point=point)
                write(CAMERA, when, header=header(when), **_image(episode.images[row], image_format))
                layout = types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
                write(COMMAND, when + 3_000_000, layout=layout, data=np.float64(episode.actions[row]))
                write(REWARD, when - 500_000, data=float(episode.rewards[row]))
            write(DONE, int(stamps[-1]) + 5_000_000, data=bool(episode.success))
            begin = int(stamps[-1]) + (50_000_000 if marker else PAUSE_NS)
        counts = dict.fromkeys(topics, 0)
        for when, topic, raw in sorted(received, key=lambda entry: entry[0]):
            if not dropped(topic, counts[topic]):
                writer.write(topics[topic], when, raw)
            counts[topic] += 1
    return path


def _image(image: Any, image_format: str) -> dict[str, Any]:
    """Return the fields of `sensor_msgs/msg/Image`, or of `CompressedImage` as image_transport fills them."""
    if image_format == "raw":
        shape = {"height": image.shape[0], "width": image.shape[1], "step": 3 * image.shape[1]}
        return shape | {"encoding": "rgb8", "is_bigendian": 0, "data": image.reshape(-1)}
    data = png(image) if image_format == "png" else jpeg(image)
    return {"format": f"rgb8; {image_format} compressed bgr8", "data": np.frombuffer(data, np.uint8)}


def bag_map() -> dict[str, Any]:
    joints = {f"panda_joint{n}_rad": f"position.panda_joint{n}" for n in range(1, 8)}
    place = {f"gripper_{axis}_m": {"from": GRIPPER, "key": f"point.{axis}"} for axis in "xyz"}
    width = {"gripper_width_m": ["position.finger1", "position.finger2"]}
    return {
        "image": {"from": CAMERA},
        "proprio": {"from": JOINTS, "elements": joints | place | width},
        "action": {"from": COMMAND, "elements": {"x_m": "data.0", "y_m": "data.1", "z_m": "data.2"}},
        "reward": {"from": REWARD, "key": "data"},
        "success": {"from": DONE, "key": "data"},
    }


def write_map(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def assert_same(path: Path, wanted: list[Episode], images: bool = True) -> None:
    found = list(LeRobotDataset(path))
    assert len(found) == len(wanted)
    for one, other in zip(wanted, found, strict=True):
        for name in ("images",) * images + ("proprio", "actions", "rewards", "timestamps"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert one.success == other.success
