"""The ROS 2 messages that a control loop needs, as they are on the wire (CDR over DDS), without ROS.

The type hashes are those of REP 2016 (RIHS01) for the definitions of ROS 2 Humble to Jazzy.
"""

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simreal.errors import SimrealError

try:
    import cyclonedds.idl.annotations as annotate
    from cyclonedds.idl import IdlStruct
    from cyclonedds.idl.types import float64, int32, sequence, uint8, uint32
except ImportError as error:
    raise SimrealError(f"ROS 2 needs the extra ros2: pip install 'simreal[ros2]' ({error})") from None

if TYPE_CHECKING:  # the library's sequence is an annotation for itself, not for a type checker
    Floats: TypeAlias = list[float64]
    Texts: TypeAlias = list[str]
    Dimensions: TypeAlias = list["Dimension"]
    Octets: TypeAlias = Any
else:
    Floats, Texts, Octets = sequence[float64], sequence[str], sequence[uint8]

_CDR_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
_NANOSECONDS = 1_000_000_000


@dataclass
@annotate.final
class Time(IdlStruct, typename="builtin_interfaces.msg.dds_.Time_"):
    """Seconds and nanoseconds of the sender's clock since 1970."""

    sec: int32 = 0
    nanosec: uint32 = 0

    @classmethod
    def of_ns(cls, nanoseconds: int) -> "Time":
        """Return a stamp, from nanoseconds since 1970."""
        return cls(*divmod(nanoseconds, _NANOSECONDS))

    @property
    def ns(self) -> int:
        """Nanoseconds since 1970; 0 for a sender that does not stamp."""
        return self.sec * _NANOSECONDS + self.nanosec


@dataclass
@annotate.final
class Header(IdlStruct, typename="std_msgs.msg.dds_.Header_"):
    """When and in which frame."""

    stamp: Time = field(default_factory=Time)
    frame_id: str = ""


@dataclass
@annotate.final
class JointState(IdlStruct, typename="sensor_msgs.msg.dds_.JointState_"):
    """Positions (rad or m), velocities and efforts of joints by name; the last two may be empty."""

    header: Header = field(default_factory=Header)
    name: Texts = field(default_factory=list)
    position: Floats = field(default_factory=list)
    velocity: Floats = field(default_factory=list)
    effort: Floats = field(default_factory=list)


@dataclass
@annotate.final
class Dimension(IdlStruct, typename="std_msgs.msg.dds_.MultiArrayDimension_"):
    """One dimension of a `Float64MultiArray`."""

    label: str = ""
    size: uint32 = 0
    stride: uint32 = 0


if not TYPE_CHECKING:
    Dimensions = sequence[Dimension]


@dataclass
@annotate.final
class Layout(IdlStruct, typename="std_msgs.msg.dds_.MultiArrayLayout_"):
    """Shape of a `Float64MultiArray`; ros2_control's forward controllers leave it empty."""

    dim: Dimensions = field(default_factory=list)
    data_offset: uint32 = 0


@dataclass
@annotate.final
class Float64MultiArray(IdlStruct, typename="std_msgs.msg.dds_.Float64MultiArray_"):
    """Joint targets, rad or m, in the order of the controller's joints."""

    layout: Layout = field(default_factory=Layout)
    data: Floats = field(default_factory=list)


@dataclass
@annotate.final
class String(IdlStruct, typename="std_msgs.msg.dds_.String_"):
    """A line of text."""

    data: str = ""


@dataclass
@annotate.final
class Image(IdlStruct, typename="sensor_msgs.msg.dds_.Image_"):
    """One frame, `step` bytes a row.

    Its bytes are written and read in one piece: element by element, as the library does it for any
    sequence, takes 40 ms for 640x480.
    """

    header: Header = field(default_factory=Header)
    height: uint32 = 0
    width: uint32 = 0
    encoding: str = ""
    is_bigendian: uint8 = 0
    step: uint32 = 0
    data: Octets = b""
    """Bytes, or uint8 of any shape; a view of the received bytes in a message that was read."""

    def serialize(
        self, buffer: Any = None, endianness: Any = None, use_version_2: bool | None = None
    ) -> bytes:
        """Return the encapsulated CDR, little-endian."""
        stamp = self.header.stamp
        head = struct.pack("<iI", stamp.sec, stamp.nanosec) + _string(self.header.frame_id)
        head = _aligned(head) + struct.pack("<II", self.height, self.width) + _string(self.encoding)
        head = _aligned(head + struct.pack("<B", self.is_bigendian))
        raw: Any = np.ascontiguousarray(self.data) if isinstance(self.data, np.ndarray) else self.data
        data = memoryview(raw)
        size = struct.pack("<II", self.step, data.nbytes)
        return b"".join((_CDR_LITTLE_ENDIAN, head, size, data.cast("B")))

    @classmethod
    def deserialize(cls, data: bytes, has_header: bool = True, use_version_2: bool | None = None) -> "Image":
        """Read encapsulated CDR; `data` of the result is a view, nothing is copied.

        Raises:
            ValueError: if these are not the bytes of an image.
        """
        if not has_header or bytes(data[:2]) != _CDR_LITTLE_ENDIAN[:2]:
            raise ValueError(f"not plain little-endian CDR: {bytes(data[:4]).hex()}")
        view = memoryview(data)[4:]
        try:
            sec, nanosec = struct.unpack_from("<iI", view, 0)
            frame_id, at = _read_string(view, 8)
            height, width = struct.unpack_from("<II", view, at)
            encoding, at = _read_string(view, at + 8, align=1)
            is_bigendian = view[at]
            step, size = struct.unpack_from("<II", view, _up(at + 1))
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise ValueError(f"not an image: {error}") from None
        start = _up(at + 1) + 8
        if start + size > len(view):
            raise ValueError(f"an image of {size} bytes in {len(view) - start}")
        header = Header(Time(sec, nanosec), frame_id)
        return cls(header, height, width, encoding, is_bigendian, step, view[start : start + size])


TYPE_HASHES: dict[type[IdlStruct], str] = {
    JointState: "RIHS01_a13ee3a330e346c9d87b5aa18d24e11690752bd33a0350f11c5882bc9179260e",
    Image: "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
    Float64MultiArray: "RIHS01_1025ddc6b9552d191f89ef1a8d2f60f3d373e28b283d8891ddcc974e8c55397f",
    String: "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18",
}
"""Sent in the user data of readers and writers, so that ROS tools know the definition."""


def image_of_rgb(rgb: NDArray[np.uint8], stamp_ns: int, frame_id: str = "camera") -> Image:
    """Return a message of an image (H, W, 3) RGB."""
    height, width, _ = rgb.shape
    return Image(Header(Time.of_ns(stamp_ns), frame_id), height, width, "rgb8", 0, 3 * width, rgb)


def _up(offset: int) -> int:
    return (offset + 3) & ~3


def _aligned(data: bytes) -> bytes:
    return data.ljust(_up(len(data)), b"\0")


def _string(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("<I", len(raw)) + raw


def _read_string(view: memoryview, at: int, align: int = 4) -> tuple[str, int]:
    """Return a string and where the next member starts."""
    (size,) = struct.unpack_from("<I", view, at)
    end = at + 4 + size
    text = bytes(view[at + 4 : end - 1]).decode()
    return text, _up(end) if align == 4 else end
