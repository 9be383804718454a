"""Figures with intervals as text; a null of `result.json` is what is infinite or unknown."""

from collections.abc import Mapping, Sequence
from typing import Any

from simreal.check.spending import amount

UNKNOWN = "–"  # noqa: RUF001  a dash, as in print


def estimate(found: Mapping[str, float | None]) -> str:
    """Return a figure and its interval, such as `+0.40 (+0.30 to +0.50)`."""
    if found["value"] is None:
        return UNKNOWN
    low, high = (_signed(found[name]) for name in ("low", "high"))
    return f"{found['value']:+.2f} ({low} to {high})"


def reached(found: Mapping[str, Any], budgets: Sequence[int]) -> str:
    """Return the median time to threshold of a curve with its interval, and how many runs are censored."""
    text = f"> {budgets[-1]:,}"
    if found["median"] is not None:
        high = f"> {budgets[-1]:,}" if found["high"] is None else amount(found["high"])
        at_most = "≤ " if found["median"] <= budgets[0] and budgets[0] else ""
        text = f"{at_most}{amount(found['median'])} ({amount(found['low'])} to {high})"
    if not found["censored"]:
        return text
    return f"{text}; {found['censored']} of {found['seeds']} never"


def saved(found: Mapping[str, Any] | None) -> str:
    """Return what is known of a saving: `≥` or `≤` where runs are censored, and its interval."""
    if found is None or (found["at_least"] is None and found["at_most"] is None):
        return UNKNOWN
    low, high = found["at_least"], found["at_most"]
    middle = _whole(low)
    if high is None:
        middle = f"≥ {_whole(low)}"
    elif low is None:
        middle = f"≤ {_whole(high)}"
    elif _whole(low) != _whole(high):
        middle = f"{_whole(low)} to {_whole(high)}"
    ends = _whole(found["low"], "-∞"), _whole(found["high"], "∞")
    return f"{middle} ({ends[0]} to {ends[1]})"


def _signed(value: float | None) -> str:
    return "∞" if value is None else f"{value:+.2f}"


def _whole(value: float | None, unbounded: str = "") -> str:
    if value is None:
        return unbounded
    return amount(value)
