"""The page of a study: what each method gains where, curves, verdicts, and what is recommended."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT, needs_of
from simreal.check.transfer_metrics import THRESHOLD
from simreal.report.learning import learning_parts
from simreal.report.pictures import data_uri
from simreal.report.study_plots import curves, heat_map
from simreal.targets import label_of
from simreal.transfer import METHODS

Compared = dict[str, Any]  # as `result.json` tells it
Of = Callable[[Compared], int]
_CAPTION = (
    "Mean over the targets that all drawn here have at every point of theirs; bands are 95% t-intervals over "
    "training seeds."
)
_SIZES = {"demonstrations": "demos", "unlabelled frames": "frames", "rewarded steps": "steps"}
_TAKES = {ZERO_SHOT: "nothing: the source policy as it is", TARGET_ONLY: "demonstrations, and no source"}


def values(study: dict[str, Any]) -> dict[str, Any]:
    """Return what the template `study.html.jinja` needs of a study's result."""
    threshold = study.get("threshold", THRESHOLD)
    return {
        "study": study,
        "threshold": threshold,
        "needs": {name: ", ".join(item.needs) for name, item in METHODS.items()} | _TAKES,
        "verdicts": [_verdicts(item) for item in study["compared"] if item["comparisons"]],
        "parts": list(_parts(study["compared"])),
        "curves": list(_curves(study["compared"])),
        "learned": list(learning_parts(study.get("learning", []), threshold)),
    }


def _verdicts(item: Compared) -> dict[str, Any]:
    """Return the comparisons of one place, each with its sentence, and what is to be said of all."""
    sentences = item.get("sentences", [])
    comparisons = item["comparisons"]
    place = f"{item['source']}, {label_of(item['domain'], item['severity'])}"
    return {
        "place": ": ".join(text for text in (place, _given(item["budget"], item["success"])) if text),
        "comparisons": comparisons,
        "sentences": sentences[: len(comparisons)],
        "beyond": sentences[len(comparisons) :],
    }


def _given(budget: dict[str, Any], candidates: Iterable[str]) -> str:
    """Return what of a budget these candidates take."""
    needs = {need for name in candidates for need in needs_of(name)}
    taken = [(budget[size], need) for need, size in _SIZES.items() if need in needs and budget[size]]
    return ", ".join(f"{count:,} {need if count > 1 else need.removesuffix('s')}" for count, need in taken)


def _parts(compared: list[Compared]) -> Iterator[dict[str, Any]]:
    """Yield heat maps for every source, severity and budget."""
    groups: dict[tuple[Any, ...], list[Compared]] = {}
    for item in compared:
        groups.setdefault((item["source"], item["severity"], *_sizes(item)), []).append(item)
    for (source, severity, *_), items in groups.items():
        title = f"From {source}, severity {severity}{_with(items)}"
        pictures = {name: _heat(items, name) for name in (ZERO_SHOT, TARGET_ONLY)}
        yield {"title": title, "heat": {name: uri for name, uri in pictures.items() if uri}}


def _sizes(item: Compared) -> tuple[int, ...]:
    return tuple(item["budget"][size] for size in _SIZES.values())


def _with(items: list[Compared]) -> str:
    """Return the end of a title: what those candidates take of the budget that the items share."""
    given = _given(items[0]["budget"], (name for item in items for name in item["success"]))
    return f", with {given}" if given else ""


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
    labels = [_row_label(name) if baseline == TARGET_ONLY else name for name in methods]
    return data_uri(heat_map(labels, [item["domain"] for item in items], gains, ringed), "png")


def _row_label(name: str) -> str:
    """Return a candidate, marked where it learns from something else than target-only's demonstrations."""
    needs = needs_of(name)
    if "rewarded steps" in needs:
        return f"{name} (rewards)"
    return name if name == ZERO_SHOT or "demonstrations" in needs else f"{name} (no labels)"


def _curves(compared: list[Compared]) -> Iterator[dict[str, Any]]:
    """Yield curves over severities, for each budget, and over demonstrations, where there are several."""
    groups: dict[tuple[int, ...], list[Compared]] = {}
    for item in compared:
        groups.setdefault(_sizes(item), []).append(item)
    place: tuple[str, ...] = ("source", "domain")
    for items in groups.values():
        yield from _curve("severity", items, lambda item: item["severity"], place, _with(items))
    place = (*place, "severity")
    yield from _curve("demonstrations", compared, lambda item: item["budget"]["demos"], place)


def _curve(
    axis: str, items: list[Compared], of: Of, place: tuple[str, ...], given: str = ""
) -> Iterator[dict[str, Any]]:
    """Yield the curve over an axis if it has several points that somebody knows."""
    points = sorted({of(item) for item in items} - {0})
    if len(points) < 2:
        return
    known = {name: lists for name, lists in _by_point(items, points, of, place).items() if any(lists)}
    if known:
        picture = data_uri(curves(axis, points, known), "png")
        yield {"title": f"Success over {axis}{given}", "caption": _CAPTION, "picture": picture}


def _by_point(
    compared: list[Compared], points: list[int], of: Of, place: tuple[str, ...]
) -> dict[str, list[list[float]]]:
    """Return candidate -> for each point the mean of every training seed, over places that all have."""
    found = {
        name: [
            [item for item in compared if of(item) == point and name in item["success"]] for point in points
        ]
        for name in dict.fromkeys(name for item in compared for name in item["success"])
    }

    def where(item: Compared) -> tuple[Any, ...]:
        return tuple(item[key] for key in place)

    places = [{where(item) for item in items} for at in found.values() for items in at if items]
    shared = set.intersection(*places) if places else set()
    return {
        name: [_means([item["success"][name] for item in items if where(item) in shared]) for items in at]
        for name, at in found.items()
    }


def _means(rates: list[list[float]]) -> list[float]:
    return [float(value) for value in np.mean(rates, axis=0)] if rates else []
