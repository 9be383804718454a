"""Where seeds come from: each purpose has a range of its own, so that no two can ever meet."""

from enum import IntEnum

_INDEX_BITS, _RUN_BITS = 20, 20
MAXIMUM = 1 << _RUN_BITS
TUNING_RUNS = range(900, 1000)
"""Run seeds of whatever chooses settings; what is reported of a method has another one."""


class Purpose(IntEnum):
    """What a seed is for."""

    TRAINING = 1
    SOURCE_EPISODE = 2
    DEMONSTRATION = 3
    TUNING_DEMONSTRATION = 4
    EVALUATION = 5
    CHECK_EVALUATION = 6
    APPEARANCE = 7
    TUNING = 8
    UNLABELLED = 9
    GUARD = 10
    TUNING_UNLABELLED = 11


def seed_for(purpose: Purpose, run: int, index: int = 0) -> int:
    """Return the seed number `index` of a run for a purpose.

    Raises:
        ValueError: if run or index would leave the range of the purpose.
    """
    if not 0 <= run < MAXIMUM or not 0 <= index < 1 << _INDEX_BITS:
        raise ValueError(f"seed {run}, index {index}: each must be from 0 to {MAXIMUM - 1}")
    return (purpose << (_INDEX_BITS + _RUN_BITS)) | (run << _INDEX_BITS) | index
