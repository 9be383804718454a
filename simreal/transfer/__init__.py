"""The transfer layer: one family of methods a file, all behind `METHODS`."""

from simreal.errors import SimrealError, nearest
from simreal.transfer import fine_tuning
from simreal.transfer.base import UPDATES, Method, Problem, SourceAccess

__all__ = ["METHODS", "UPDATES", "Method", "Problem", "SourceAccess", "method"]

METHODS: dict[str, Method] = {
    item.id: item
    for item in (
        Method(
            "head-only", "fine-tuning", "inductive", ("demonstrations",), "head",
            "Kumar et al. 2022, arXiv:2202.10054", fine_tuning.head_only,
        ),
        Method(
            "finetune", "fine-tuning", "inductive", ("demonstrations",), "encoder and head",
            "Yosinski et al. 2014, arXiv:1411.1792", fine_tuning.finetune,
        ),
        Method(
            "cotrain", "fine-tuning", "inductive", ("demonstrations", "source data"),
            "encoder and head", "Maddukuri et al. 2025, arXiv:2503.24361", fine_tuning.cotrain,
        ),
    )
}  # fmt: skip


def method(name: str) -> Method:
    """Return a method by its id.

    Raises:
        SimrealError: naming the nearest valid id.
    """
    if name not in METHODS:
        raise SimrealError(f"no method {name!r}; {nearest(name, METHODS)}")
    return METHODS[name]
