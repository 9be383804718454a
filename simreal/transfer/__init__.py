"""The transfer layer: one family of methods a file, all behind `METHODS`."""

from simreal.errors import SimrealError, nearest
from simreal.transfer import (
    alignment,
    appearances,
    bayes_head,
    fine_tuning,
    instances,
    latent_search,
    meta_transfer,
    motion,
    pixels,
    postures,
    reinforcement,
    residual,
    self_supervised,
    semi_supervised,
)
from simreal.transfer.base import RATE_SCALE, UPDATES, EncoderMode, Method, Problem, SourceAccess
from simreal.transfer.rewarded import RewardedSteps

__all__ = [
    "METHODS", "RATE_SCALE", "UPDATES", "EncoderMode", "Method", "Problem", "RewardedSteps", "SourceAccess",
    "method",
]  # fmt: skip

_FAMILIES: tuple[tuple[Method, ...], ...] = (
    fine_tuning.METHODS_OF_FAMILY,
    residual.METHODS_OF_FAMILY,
    meta_transfer.METHODS_OF_FAMILY,
    bayes_head.METHODS_OF_FAMILY,
    latent_search.METHODS_OF_FAMILY,
    alignment.METHODS_OF_FAMILY,
    instances.METHODS_OF_FAMILY,
    pixels.METHODS_OF_FAMILY,
    appearances.METHODS_OF_FAMILY,
    postures.METHODS_OF_FAMILY,
    motion.METHODS_OF_FAMILY,
    self_supervised.METHODS_OF_FAMILY,
    semi_supervised.METHODS_OF_FAMILY,
    reinforcement.METHODS_OF_FAMILY,
)  # fmt: skip
METHODS: dict[str, Method] = {item.id: item for family in _FAMILIES for item in family}


def method(name: str) -> Method:
    """Return a method by its id.

    Raises:
        SimrealError: naming the nearest valid id.
    """
    if name not in METHODS:
        raise SimrealError(f"no method {name!r}; {nearest(name, METHODS)}")
    return METHODS[name]
