"""From plain JSON values back to the dataclasses that they were, or an error that says where not."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal


def from_plain(kind: Any, value: Any, where: str = "manifest") -> Any:
    """Turn a JSON value into the annotated type: dataclasses, tuples, mappings, unions with None.

    Args:
        kind: The type, such as `tuple[int, ...]`, `float | None` or a dataclass.
        value: What `json.loads` gave.
        where: Name of the value, for the error.

    Raises:
        ValueError: naming the entry that is unknown, missing, or of another type.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build(kind, _expect(dict, value, where), where)
    if origin is tuple:
        return _tuple(arguments, _expect(list, value, where), where)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else from_plain(arguments[0], value, where)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin is Mapping:
        items = _expect(dict, value, where).items()
        return {key: from_plain(arguments[1], item, f"{where}.{key}") for key, item in items}
    return value if kind is Any else _expect(kind, value, where)


def _build(kind: type, value: dict[str, Any], where: str) -> Any:
    hints, fields = typing.get_type_hints(kind), dataclasses.fields(kind)  # type: ignore[arg-type]
    names = {field.name for field in fields}
    if unknown := value.keys() - names:
        raise ValueError(f"{where}: unknown entry {', '.join(sorted(unknown))}")
    needed = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if missing := needed - value.keys():
        raise ValueError(f"{where}: no entry {', '.join(sorted(missing))}")
    built = {name: from_plain(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    return kind(**built)


def _tuple(kinds: tuple[Any, ...], value: list[Any], where: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{where}: {len(value)} values for {len(kinds)}")
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(from_plain(kind, item, f"{where}[{index}]") for index, (kind, item) in pairs)


def _expect(kind: type, value: Any, where: str) -> Any:
    # JSON writes 1.0 as 1.0 but people write 1; and a bool is an int to Python only.
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where}: {value!r} is no {kind.__name__}")
    return value
