"""The page of a study: what each method gains where, curves, verdicts, and what is recommended."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.transfer_metrics import THRESHOLD
from simreal.report.learning import learning_parts
from simreal.report.pictures import data_uri
from simreal.report.study_plots import curves, heat_map
from simreal.transfer import METHODS

Compared = dict[str, Any]  # as `result.json` tells it
Of = Callable[[Compared], int]
_CAPTION = "Mean over the domains that have every point; bands are 95% t-intervals over training seeds."


def values(study: dict[str, Any]) -> dict[str, Any]:
    """Return what the template `study.html.jinja` needs of a study's result."""
    threshold = study.get("threshold", THRESHOLD)
    return {
        "study": study,
        "threshold": threshold,
        "needs": {name: ", ".join(item.needs) for name, item in METHODS.items()},
        "parts": list(_parts(study["compared"])),
        "curves": list(_curves(study["compared"])),
        "learned": list(learning_parts(study.get("learning", []), threshold)),
    }


def _parts(compared: list[Compared]) -> Iterator[dict[str, Any]]:
    """Yield heat maps for every source, severity and budget."""
    groups: dict[tuple[Any, ...], list[Compared]] = {}
    for item in compared:
        sizes = (item["budget"][name] for name in ("demos", "frames", "steps"))
        groups.setdefault((item["source"], item["severity"], *sizes), []).append(item)
    for (source, severity, demos, frames, steps), items in groups.items():
        given = f"{demos} demonstrations, {frames} unlabelled frames or {steps} rewarded steps"
        title = f"From {source}, severity {severity}, {given}"
        pictures = {name: _heat(items, name) for name in (ZERO_SHOT, TARGET_ONLY)}
        yield {"title": title, "heat": {name: uri for name, uri in pictures.items() if uri}}


def _heat(items: list[Compared], baseline: str) -> str | None:
    """Return the heat map of gains over a baseline as a data URI; None where nobody met it."""
    methods = list(dict.fromkeys(name for item in items for name in item["success"] if name != baseline))
    items = [item for item in items if baseline in item["success"]]
    if not items or not methods:
        return None
    gains = np.full((len(methods), len(items)), np.nan)
    ringed = np.zeros(gains.shape, bool)
    for column, item in enumerate(items):
        for row, name in enumerate(methods):
            if name in item["success"]:
                rates, base = (np.mean(item["success"][each]) for each in (name, baseline))
                gains[row, column] = 100 * (rates - base)
        for c in item["comparisons"]:
            if c["baseline"] == baseline and c["verdict"] in ("positive", "negative"):
                ringed[methods.index(c["candidate"]), column] = True
    return data_uri(heat_map(methods, [item["domain"] for item in items], gains, ringed), "png")


def _curves(compared: list[Compared]) -> Iterator[dict[str, Any]]:
    """Yield curves over severities, and over demonstrations, where there are several."""
    for axis, of in (
        ("severity", lambda item: item["severity"]),
        ("demonstrations", lambda item: item["budget"]["demos"]),
    ):
        points = sorted({of(item) for item in compared} - {0})
        if len(points) > 1:
            found = _by_point(compared, points, of)
            known = {name: lists for name, lists in found.items() if any(lists)}
            if known:
                picture = data_uri(curves(axis, points, known), "png")
                yield {"title": f"Success over {axis}", "caption": _CAPTION, "picture": picture}


def _by_point(compared: list[Compared], points: list[int], of: Of) -> dict[str, list[list[float]]]:
    """Return candidate -> for each point the mean over domains of every training seed."""
    found: dict[str, list[list[float]]] = {}
    for name in dict.fromkeys(name for item in compared for name in item["success"]):
        at = [
            [item for item in compared if of(item) == point and name in item["success"]] for point in points
        ]
        if not any(at):
            continue  # it has none of these points
        shared = set.intersection(*(_domains(items) for items in at if items))
        found[name] = [
            _means([item["success"][name] for item in items if _domain(item) in shared]) for items in at
        ]
    return found


def _domain(item: Compared) -> tuple[str, str]:
    return item["source"], item["domain"]


def _domains(items: Iterable[Compared]) -> set[tuple[str, str]]:
    return {_domain(item) for item in items}


def _means(rates: list[list[float]]) -> list[float]:
    return [float(value) for value in np.mean(rates, axis=0)] if rates else []
