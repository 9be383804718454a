# ruff: noqa: E402  the skip comes before what needs the extra
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cyclonedds", reason="needs the extra ros2")
rosbags = pytest.importorskip("rosbags.typesys", reason="needs rosbags, from the extra dev")

from simreal.deploy import ros2_messages as messages
from simreal.deploy.ros2_messages import Float64MultiArray, Header, Image, JointState, String, Time
from simreal.encodings import rgb_of_image
from simreal.errors import SimrealError

STORE = rosbags.get_typestore(rosbags.Stores.ROS2_JAZZY)
ROS = {
    JointState: "sensor_msgs/msg/JointState",
    Image: "sensor_msgs/msg/Image",
    Float64MultiArray: "std_msgs/msg/Float64MultiArray",
    String: "std_msgs/msg/String",
}
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
floats = st.lists(st.floats(width=64, allow_nan=False), max_size=9)
headers = st.builds(Header, st.builds(Time, st.integers(0, 2**31 - 1), st.integers(0, 999_999_999)), texts)


def oracle(message: Any) -> bytes:
    """What rosbags, which knows ROS's definitions, writes for the same values."""
    return bytes(STORE.serialize_cdr(as_ros(message), ROS[type(message)]))


def as_ros(value: Any) -> Any:
    types = STORE.types
    match value:
        case Time():
            return types["builtin_interfaces/msg/Time"](value.sec, value.nanosec)
        case Header():
            return types["std_msgs/msg/Header"](as_ros(value.stamp), value.frame_id)
        case JointState():
            numbers = (np.array(x, float) for x in (value.position, value.velocity, value.effort))
            return types[ROS[JointState]](as_ros(value.header), value.name, *numbers)
        case Image():
            data = np.frombuffer(bytes(value.data), np.uint8)
            head = (value.height, value.width, value.encoding, value.is_bigendian, value.step)
            return types[ROS[Image]](as_ros(value.header), *head, data)
        case Float64MultiArray():
            dim = [
                types["std_msgs/msg/MultiArrayDimension"](d.label, d.size, d.stride) for d in value.layout.dim
            ]
            layout = types["std_msgs/msg/MultiArrayLayout"](dim, value.layout.data_offset)
            return types[ROS[Float64MultiArray]](layout, np.array(value.data, float))
    return types[ROS[String]](value.data)


@given(headers, st.lists(texts, max_size=9), st.tuples(floats, floats, floats))
def test_joint_states_are_ros_bytes(header: Header, names: list[str], numbers: Any) -> None:
    message = JointState(header, names, *numbers)
    assert message.serialize() == oracle(message)
    assert JointState.deserialize(oracle(message)) == message


dimensions = st.builds(messages.Dimension, texts, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


@given(st.lists(dimensions, max_size=2), floats, texts)
def test_commands_and_texts_are_ros_bytes(dim: list[Any], data: list[float], text: str) -> None:
    for message in (Float64MultiArray(messages.Layout(dim, 3), data), String(text)):
        assert message.serialize() == oracle(message)
        assert type(message).deserialize(oracle(message)) == message


@given(headers, texts, st.binary(max_size=40), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_images_are_ros_bytes(header: Header, encoding: str, data: bytes, flag: int, step: int) -> None:
    message = Image(header, 3, 5, encoding, flag, step, data)
    assert message.serialize() == oracle(message)
    read = Image.deserialize(oracle(message))
    read.data = bytes(read.data)
    assert read == message


@given(st.binary(max_size=60))
def test_other_bytes_are_no_image(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"image|CDR"):
        Image.deserialize(data + b"\xff" if data[:2] == b"\0\1" else data)


def test_type_hashes_and_names_are_those_of_ros() -> None:
    for type_, name in ROS.items():
        assert messages.TYPE_HASHES[type_] == STORE.hash_rihs01(name)
        package, _, short = name.split("/")
        assert type_.__idl__.idl_transformed_typename == f"{package}::msg::dds_::{short}_"


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "rgba8", "bgra8"])
@pytest.mark.parametrize("padding", [0, 5])
def test_encodings_and_padded_rows(encoding: str, padding: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    if encoding == "mono8":
        rgb[..., 1] = rgb[..., 2] = rgb[..., 0]
    order = {"r": 0, "g": 1, "b": 2}
    channels = [0] if encoding == "mono8" else [order.get(letter, 1) for letter in encoding[:-1]]
    rows = rgb[..., channels].reshape(4, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    message = Image(Header(), 4, 6, encoding, 0, padded.shape[1], padded.tobytes())
    assert np.array_equal(rgb_of_image(message), rgb)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image(Header(), 2, 2, "rgb9", 0, 6, bytes(12)), "'rgb9'.*rgb8"),
        (Image(Header(), 2, 2, "rgb8", 0, 5, bytes(12)), "step 5"),
        (Image(Header(), 2, 2, "rgb8", 0, 6, bytes(11)), "11 bytes"),
        (Image(Header(), 0, 2, "rgb8", 0, 6, b""), "2x0"),
    ],
)
def test_an_image_that_cannot_be_read_is_named(image: Image, words: str) -> None:
    with pytest.raises(SimrealError, match=words):
        rgb_of_image(image)
