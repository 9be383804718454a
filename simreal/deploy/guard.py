"""`Guard`: whether weights that were adapted while deployed may stay."""

from collections import deque
from dataclasses import dataclass

BASELINE, RECENT, FEWEST = 40, 20, 8  # decisions: 2 s, 1 s and 0.4 s at 20 Hz
_RATIO, _DRIFT_SLACK, _CORRECTION_SLACK = 1.5, 0.1, 0.5


@dataclass(frozen=True)
class Signs:
    """What a decision came to."""

    drift: float
    """Distance of the feature from the training distribution, 1 at its limit; 0 without a drift watch."""
    corrections: int
    """How many limits changed the commands since the decision before."""


class Guard:
    """Compares the decisions of adapted weights with those of the original ones.

    The rule: adapted weights go once the mean over their last 20 decisions (8 at least) of either sign rises
    above 1.5 times its mean over the last 40 decisions of the original weights, plus 0.1 of drift or 0.5
    corrections. No weights are tried before there are those 40. Whatever was rolled back stays so.
    """

    def __init__(self) -> None:
        self._original: deque[Signs] = deque(maxlen=BASELINE)
        self._adapted: deque[Signs] = deque(maxlen=RECENT)
        self.objection = ""
        """Why adapted weights may not be used any more."""

    @property
    def ready(self) -> bool:
        """Tell whether adapted weights may be tried."""
        return len(self._original) == BASELINE and not self.objection

    def note(self, signs: Signs, adapted: bool) -> bool:
        """Take a decision into account; return whether adapted weights may stay."""
        (self._adapted if adapted else self._original).append(signs)
        if adapted and len(self._adapted) >= FEWEST:
            for name, slack in (("drift", _DRIFT_SLACK), ("corrections", _CORRECTION_SLACK)):
                now, before = _mean(self._adapted, name), _mean(self._original, name)
                if not now <= _RATIO * before + slack:
                    self.object(f"{name} rose from {before:.2f} to {now:.2f} a decision")
        return not self.objection

    def object(self, why: str) -> None:
        """Forbid adapted weights from now on."""
        self.objection = self.objection or why


def _mean(signs: deque[Signs], name: str) -> float:
    return sum(getattr(one, name) for one in signs) / len(signs)
