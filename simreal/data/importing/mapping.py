"""`ImportMapping`: which field of a recording is which element of the policy's observation and action."""

from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simreal.data.importing.pictures import Picture
from simreal.errors import SimrealError, nearest
from simreal.reading import load_yaml, mapping, number
from simreal.units import TO_SI

Vector = NDArray[np.float64]
Outcome = Literal["all", "none"]
_KEYS = (
    *("image", "proprio", "action", "reward", "success"),
    *("marker", "gap_s", "clock", "task"),
)
_KINDS = (("rad", "deg"), ("m", "mm"))


@dataclass(frozen=True)
class Element:
    """One number of a recording: where it stands, with unit, sign and offset.

    What the policy has is `factor * (sum of the keys) + offset`, in rad or m, or a share of a full action.
    """

    source: str
    """Topic of a bag, or feature of a dataset."""
    keys: tuple[str, ...]
    """Several add up, as two fingers do to an opening."""
    factor: float = 1.0
    offset: float = 0.0

    def value(self, columns: Sequence[Vector]) -> Vector:
        """Return the policy's values (T,) of those of the keys, (T,) each."""
        return self.factor * np.sum(columns, axis=0) + self.offset


@dataclass(frozen=True)
class ImportMapping:
    """What a mapping file says; a section that is missing stands for the policy's own names."""

    path: str
    """Of the file, for messages."""
    picture: Picture
    camera: str | None
    """Topic or feature of the image."""
    proprio: MappingType[str, Element]
    action: MappingType[str, Element]
    """Elements of the policy's action; of `joint targets` if the section has `targets`, by joint."""
    targets: bool = False
    """Whether `action` holds absolute joint targets, from which the action follows by kinematics."""
    kinematics: bool = False
    """Whether the gripper's position follows from the joints."""
    reward: Element | None = None
    success: Element | Outcome | None = None
    """None: the recording itself has to tell."""
    marker: str | None = None
    """Topic whose messages begin an episode."""
    gap_s: float = 1.0
    """A pause of the images that ends an episode, seconds."""
    clock: Literal["header", "received"] = "header"
    """Which time of a message counts."""
    task: str = "imported"
    sources: frozenset[str] = field(default_factory=frozenset)
    """Everything that values are taken from."""


@dataclass(frozen=True)
class Wanted:
    """What the elements of the policy are called, in which units, and what is taken if nothing is said."""

    proprio: Sequence[str]
    proprio_units: Sequence[str]
    action: Sequence[str]
    action_units: Sequence[str]
    action_scale: Sequence[float]
    joints: Sequence[str]
    """Elements of `proprio` that are joints; empty if no robot of that name is known."""
    positions: Sequence[str]
    """Elements of `proprio` that are the gripper's position."""
    default_sources: MappingType[str, str]
    """Of a section: where its values are, for recordings that have a usual place."""


def read_mapping(path: Path | None, wanted: Wanted) -> ImportMapping:
    """Read a mapping file; without one everything is where, and called what, the policy has it.

    Raises:
        SimrealError: naming file, key, value and the nearest valid key.
    """
    where = path or Path("--map")
    raw = {} if path is None else mapping(path, load_yaml(path, "mapping"), "", _KEYS)
    image = mapping(where, raw.get("image", {}), "image", ("from", "crop", "resize", "colour"))
    camera = _name(where, image.get("from", wanted.default_sources.get("image")), "image: from")
    names, units = wanted.proprio, dict(zip(wanted.proprio, wanted.proprio_units, strict=True))
    section = mapping(where, raw.get("proprio", {}), "proprio", ("from", "elements", "kinematics"))
    kinematics = _choice(where, section.get("kinematics", False), "proprio: kinematics", (True, False))
    if kinematics:
        if not wanted.joints or len(wanted.positions) != 3:
            raise SimrealError(f"{where}: proprio: kinematics: the policy is of no known robot")
        names = [name for name in names if name not in wanted.positions]
    default = wanted.default_sources.get("proprio")
    ones = dict.fromkeys(names, 1.0)
    proprio = _elements(where, "proprio", section, "elements", names, units, ones, default)
    action, targets = _action(where, raw.get("action", {}), wanted)
    reward = _plain(where, raw, "reward")
    said = raw.get("success")
    success = said if said in ("all", "none") else _plain(where, raw, "success")
    elements = [*proprio.values(), *action.values(), reward, success]
    return ImportMapping(
        str(where),
        Picture.read(where, image),
        camera,
        proprio,
        action,
        targets,
        kinematics,
        reward,
        success,
        _name(where, raw.get("marker"), "marker"),
        number(where, raw.get("gap_s", 1.0), "gap_s", 0),
        _choice(where, raw.get("clock", "header"), "clock", ("header", "received")),
        _name(where, raw.get("task"), "task") or "imported",
        frozenset(element.source for element in elements if isinstance(element, Element)),
    )


def _action(where: Path, raw: Any, wanted: Wanted) -> tuple[dict[str, Element], bool]:
    section = mapping(where, raw, "action", ("from", "elements", "targets"))
    default = wanted.default_sources.get("action")
    if "targets" not in section:
        units = dict(zip(wanted.action, wanted.action_units, strict=True))
        scale = dict(zip(wanted.action, wanted.action_scale, strict=True))
        return _elements(
            where, "action", section, "elements", wanted.action, units, scale, default, share=True
        ), False
    if "elements" in section:
        raise SimrealError(f"{where}: action: takes elements or targets, not both")
    if not wanted.joints:
        raise SimrealError(f"{where}: action: targets: the policy is of no known robot")
    units = dict.fromkeys(wanted.joints, "rad")
    ones = dict.fromkeys(wanted.joints, 1.0)
    return _elements(where, "action", section, "targets", wanted.joints, units, ones, default), True


def _elements(
    where: Path, name: str, section: dict[str, Any], part: str, names: Sequence[str],
    units: dict[str, str], scale: dict[str, float], default: str | None, share: bool = False,
) -> dict[str, Element]:  # fmt: skip
    """Read a section: every name once, in the policy's order."""
    source = _name(where, section.get("from", default), f"{name}: from")
    raw = mapping(where, section.get(part, {item: item for item in names}), f"{name}: {part}", names)
    if missing := [item for item in names if item not in raw]:
        raise SimrealError(f"{where}: {name}: {part}: no entry for {', '.join(missing)}")
    return {
        item: _element(where, raw[item], f"{name}: {item}", source, units[item], scale[item], share)
        for item in names
    }


def _element(
    where: Path, raw: Any, label: str, source: str | None, unit: str, scale: float, share: bool
) -> Element:
    """Read one element; a value with a unit is divided by `scale`, a share of a full action is not."""
    entry = raw if isinstance(raw, dict) else {"key": raw}
    values = mapping(where, entry, label, ("from", "key", "unit", "sign", "offset"))
    source = _name(where, values.get("from", source), f"{label}: from")
    if source is None:
        raise SimrealError(f"{where}: {label}: from: no topic or feature is named")
    valid = next((kind for kind in _KINDS if unit in kind), ())
    if "unit" in values:
        chosen = _choice(where, values["unit"], f"{label}: unit", (*valid, "1") if share else valid or ("1",))
    else:
        chosen = "1" if share else unit
    factor = 1.0 if chosen == "1" else TO_SI.get(chosen, 1.0) / scale
    sign = _choice(where, values.get("sign", 1), f"{label}: sign", (1, -1))
    offset = number(where, values.get("offset", 0.0), f"{label}: offset")
    return Element(source, _keys(where, values.get("key"), label), sign * factor, offset)


def _plain(where: Path, raw: dict[str, Any], name: str) -> Element | None:
    """Read a number that has no unit."""
    if raw.get(name) is None:
        return None
    if not isinstance(raw[name], dict):
        more = "all, none, or " if name == "success" else ""
        raise SimrealError(f"{where}: {name}: takes {more}a mapping with from and key, not {raw[name]!r}")
    entry = mapping(where, raw[name], name, ("from", "key"))
    return _element(where, entry, name, None, "1", 1.0, share=False)


def _keys(where: Path, raw: Any, label: str) -> tuple[str, ...]:
    items = raw if isinstance(raw, list) else [raw]
    if not items or not all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
        raise SimrealError(f"{where}: {label}: key: takes a name, or several that add up, not {raw!r}")
    return tuple(map(str, items))


def _name(where: Path, raw: Any, label: str) -> str | None:
    if raw is None or isinstance(raw, str):
        return raw
    raise SimrealError(f"{where}: {label}: takes a name, not {raw!r}")


def _choice(where: Path, raw: Any, label: str, valid: tuple[Any, ...]) -> Any:
    # 1 == True: the kind counts as well
    if any(raw == item and type(raw) is type(item) for item in valid):
        return raw
    raise SimrealError(f"{where}: {label}: {raw!r}; {nearest(str(raw), map(str, valid))}")
