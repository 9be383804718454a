"""Units that a mapping file may name, in SI."""

import math
from typing import Literal

Unit = Literal["rad", "deg", "m", "mm"]
TO_SI: dict[str, float] = {"rad": 1.0, "deg": math.pi / 180, "m": 1.0, "mm": 1e-3}
