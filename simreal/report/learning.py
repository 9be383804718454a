"""Learning curves over the target budget on a study's page: pictures, transfer metrics, what was saved."""

from collections.abc import Iterable, Iterator
from typing import Any

from simreal.report.numbers import estimate, reached, saved
from simreal.report.pictures import data_uri
from simreal.report.study_plots import budget_curves

_LABELS = {"demos": "demonstrations", "frames": "unlabelled frames", "steps": "rewarded steps"}


def learning_parts(learning: Iterable[dict[str, Any]], threshold: float) -> Iterator[dict[str, Any]]:
    """Yield a picture and the rows of its tables for every source, severity and kind of budget.

    Args:
        learning: As `result.json` tells it.
        threshold: Of success.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for item in learning:
        groups.setdefault((item["source"], item["severity"], item["axis"]), []).append(item)
    for (source, severity, axis), items in groups.items():
        label = _LABELS[axis]
        yield {
            "title": f"Learning curves over {label}: from {source}, severity {severity}",
            "baseline": items[0]["baseline"]["candidate"],
            "saved": any(item["saved"]["steps"] for item in items),
            "picture": data_uri(budget_curves(label, threshold, _panels(items)), "png"),
            "label": label,
            "rows": [_row(item, label) for item in items],
        }


def _panels(items: list[dict[str, Any]]) -> dict[str, dict[str, tuple[list[int], list[list[float]]]]]:
    """Return domain -> candidate -> budgets and success."""
    found: dict[str, dict[str, tuple[list[int], list[list[float]]]]] = {}
    for item in items:
        lines = found.setdefault(item["domain"], {})
        for points, beside in ((item["baseline"], {}), (item["method"], item["beside"])):
            lines[_named(points["candidate"], beside)] = (points["budgets"], points["success"])
    return found


def _named(candidate: str, beside: dict[str, int]) -> str:
    """Return a candidate with what it took beside the budget of the curve."""
    return ", ".join([candidate, *(f"{count} {_LABELS[name]}" for name, count in beside.items())])


def _row(item: dict[str, Any], label: str) -> dict[str, str]:
    """Return the cells of a method's row, as text."""
    metrics, both = item["metrics"], (item["method"], item["baseline"])
    span = "no range of budgets in common"
    if item["compared_from"] is not None:
        span = f"along {item['compared_from']:,} to {item['compared_to']:,}"
    ours, theirs = (
        reached(metrics[name], points["budgets"])
        for name, points in zip(("method_reached", "baseline_reached"), both, strict=True)
    )
    kept = {unit: item["saved"][unit] for unit in ("steps", "seconds")}
    return {
        "domain": item["domain"],
        "method": _named(item["method"]["candidate"], item["beside"]),
        "span": span,
        **{name: estimate(metrics[name]) for name in ("jumpstart", "asymptote", "area", "transfer_ratio")},
        "ours": ours,
        "theirs": theirs,
        **{unit: saved(found and found["target_only_counts"]) for unit, found in kept.items()},
        **{f"{unit}_paid": saved(found and found["source_counts"]) for unit, found in kept.items()},
    }
