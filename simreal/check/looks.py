"""Which verdicts the trainings of a check have given already: a second look at them is no first one."""

from collections.abc import Sequence
from typing import Any

from simreal.check.finished import Finished
from simreal.check.sequential import Plan

_NAME = "looked at"


class Looks:
    """The looks of one plan, kept with the trainings beside those of earlier plans."""

    def __init__(self, finished: Finished, plan: Plan, methods: Sequence[str]) -> None:
        """Find the looks of other plans.

        Args:
            finished: Where the trainings are kept.
            plan: When this check is looked at.
            methods: Who is compared, the primary one first.
        """
        self._finished = finished
        self._plan: dict[str, Any] = {"primary": methods[0], "looks": list(plan.looks)}
        self._looked: list[int] = []
        kept = finished.get(_NAME) or []
        self._earlier = [each for each in kept if any(each[key] != self._plan[key] for key in self._plan)]

    def add(self, seeds: int) -> None:
        """Keep that a verdict is read off with so many seeds."""
        self._looked.append(seeds)
        self._finished.keep(_NAME, [*self._earlier, self._plan | {"looked": self._looked}])

    def sentence(self) -> str | None:
        """Return what is to be said of a verdict that is not the first; None of one that is."""
        if not self._earlier:
            return None
        looked = sorted({(each["primary"], seeds) for each in self._earlier for seeds in each["looked"]})
        told = ", ".join(f"{name} with {seeds} seeds" for name, seeds in looked)
        return (
            f"These trainings gave verdicts before ({told}): this is another look at them, and the error "
            "rates of a verdict do not hold for it. To look on the way, give --sequential from the start."
        )
