"""Read pickles of unknown origin without running anything: every class or function becomes a stand-in.

A pickle is a program that may call whatever it can import. This reader imports nothing: what the
pickle names becomes an `Inert` class, and what it would have called or built is only written down.
"""

import io
import math
import pickle
import re
from collections import OrderedDict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from policies.errors import Sb3Error

_ARRAY_BUILDERS = ("_reconstruct", "_frombuffer", "scalar")
# What a pickle that lies about itself can raise in the reader.
_BROKEN = (pickle.UnpicklingError, EOFError, MemoryError, RecursionError, OverflowError)
_MISFIT = (ValueError, TypeError, AttributeError, IndexError, KeyError, ImportError, AssertionError)


class Inert:
    """Stands for an object that was never made: its name, what it was called with, its state."""

    qualified: ClassVar[str] = ""
    """Module and name of what it stands for."""
    arguments: tuple[Any, ...]
    state: Any = None

    def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
        """Write down the arguments of what would have been a call."""
        if cls.qualified.endswith("._make_skeleton_class"):
            return _class_by_value(arguments)
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """Drop an item; lists of unknown classes are of no use here."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Drop an entry."""


def read_inert(content: bytes, where: str) -> Any:
    """Return what a pickle holds, with an `Inert` for everything but plain values.

    Raises:
        Sb3Error: if it is no whole pickle; `where` names it.
    """
    try:
        return _Reader(io.BytesIO(content)).load()
    except (*_BROKEN, *_MISFIT) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Sb3Error(f"{where}: truncated or no pickle: {reason[:120]}") from None


def name_of(thing: Any) -> str:
    """Return the module and name of an inert class, or of the class of an inert object."""
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.qualified if issubclass(kind, Inert) else kind.__name__


def state_of(thing: Any, where: str) -> dict[str, Any]:
    """Return the attributes that an object would have had.

    Raises:
        Sb3Error: if it is no object with attributes.
    """
    state = getattr(thing, "state", None)
    if not isinstance(thing, Inert) or not isinstance(state, dict):
        raise Sb3Error(f"{where}: {name_of(thing)} where an object with attributes belongs")
    return state


def array_of(thing: Any, where: str) -> NDArray[Any]:
    """Return the array, or the number as an array (), that a pickle would have made.

    Raises:
        Sb3Error: if it is none of numbers, or does not fit its own shape.
    """
    if isinstance(thing, bool | int | float):
        return np.asarray(thing)
    kind = name_of(thing).rpartition(".")[2]
    if not name_of(thing).startswith("numpy.") or kind not in _ARRAY_BUILDERS:
        raise Sb3Error(f"{where}: {name_of(thing)} where an array of numbers belongs")
    try:
        return _decode(thing, kind)
    except _MISFIT as error:
        raise Sb3Error(f"{where}: a damaged array: {error}") from None


def _decode(thing: Inert, kind: str) -> NDArray[Any]:
    order = "C"
    if kind == "_reconstruct":  # numpy's pickles up to protocol 4
        _, shape, dtype, fortran, content = thing.state
        order = "F" if fortran else "C"
    elif kind == "_frombuffer":  # and from protocol 5
        content, dtype, shape, order, *axes = thing.arguments
        if order not in ("C", "F") or any(axes):
            raise ValueError(f"order {order!r}")
    else:
        (dtype, content), shape = thing.arguments, ()
    kept = _dtype(dtype)
    if len(content) != kept.itemsize * math.prod(shape):
        raise ValueError(f"{len(content)} bytes for shape {shape}")
    return np.frombuffer(bytes(content), kept).reshape(shape, order=order)  # type: ignore[call-overload]


def _dtype(thing: Any) -> "np.dtype[Any]":
    code = thing.arguments[0]
    if name_of(thing) != "numpy.dtype" or not re.fullmatch(r"[fiub][1248]", code):
        raise ValueError(f"type {code!r} is none of numbers")
    byte_order = thing.state[1] if thing.state else "="
    return np.dtype(code).newbyteorder(byte_order)


# The one in C can be brought to corrupt memory by damaged arrays ("deallocated bytearray object has
# exported buffers"); the one in Python cannot, and these pickles are small.
class _Reader(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        return _stand_in(module, name)


def _stand_in(module: str, name: str) -> type[Inert]:
    # Older numpy has its C module elsewhere; it is the same array.
    module = re.sub(r"^numpy\.core\b", "numpy._core", module)
    return type(name.rpartition(".")[2] or "nameless", (Inert,), {"qualified": f"{module}.{name}"})


def _class_by_value(arguments: tuple[Any, ...]) -> type[Inert]:
    """Name a class that cloudpickle stored with its source, as it does for a script's own."""
    name = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], str) else "unknown"
    settings = arguments[3] if len(arguments) > 3 and isinstance(arguments[3], dict) else {}
    return _stand_in(str(settings.get("__module__", "__main__")), name)
