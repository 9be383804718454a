"""Recordings as other tools write them, and the mapping files for them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from policies import BundleManifest
from simreal.data.episodes import Episode

JOINTS, CAMERA, COMMAND, GRIPPER = "/joint_states", "/camera/image_raw", "/action", "/gripper"
REWARD, DONE, BEGIN = "/reward", "/success", "/begin"
START_NS, PAUSE_NS = 1_700_000_000_000_000_000, 3_000_000_000


def png(image: Any) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def write_v21(path: Path, episodes: list[Episode], manifest: BundleManifest, video: bool = False) -> Path:
    """LeRobot v2.1: one parquet an episode, JSON lines beside it. fps 20."""
    proprio = next(spec for spec in manifest.observations if spec.name == "proprio")
    key = "observation.images.front"
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
            write_video(path / f"videos/chunk-000/{key}/episode_{index:06d}.mp4", episode)
        else:
            columns[key] = [
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
        key: {
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


def write_video(path: Path, episode: Episode) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20, (64, 64))
    for image in episode.images:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()


def v21_map() -> dict[str, Any]:
    return {"action": {"elements": {f"{axis}_m": f"delta_{axis}" for axis in "xyz"}}}


def write_bag(path: Path, episodes: list[Episode], storage: str, marker: bool = False) -> Path:
    """A bag: joints in another order and in degrees' place, the image, and the command after each image.

    With `marker` no pause parts the episodes, but a message does.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    names = {
        JOINTS: "sensor_msgs/msg/JointState", CAMERA: "sensor_msgs/msg/Image", REWARD: "std_msgs/msg/Float32",
        COMMAND: "std_msgs/msg/Float64MultiArray", GRIPPER: "geometry_msgs/msg/PointStamped",
        DONE: "std_msgs/msg/Bool", BEGIN: "std_msgs/msg/Empty",
    }  # fmt: skip

    def header(time_ns: int) -> Any:
        stamp = types["builtin_interfaces/msg/Time"](sec=time_ns // 10**9, nanosec=time_ns % 10**9)
        return types["std_msgs/msg/Header"](stamp=stamp, frame_id="")

    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
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
                image = episode.images[row]
                write(
                    CAMERA, when, header=header(when), height=64, width=64, encoding="rgb8",
                    is_bigendian=0, step=192, data=image.reshape(-1),
                )  # fmt: skip
                layout = types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
                write(COMMAND, when + 3_000_000, layout=layout, data=np.float64(episode.actions[row]))
                write(REWARD, when - 500_000, data=float(episode.rewards[row]))
            write(DONE, int(stamps[-1]) + 5_000_000, data=bool(episode.success))
            begin = int(stamps[-1]) + (50_000_000 if marker else PAUSE_NS)
        for when, topic, raw in sorted(received, key=lambda entry: entry[0]):
            writer.write(topics[topic], when, raw)
    return path


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
