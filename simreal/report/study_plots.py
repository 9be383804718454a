"""Plots of a study: gain of every method in every domain, and success over severities and budgets."""

import io
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simreal.check.statistics import t_interval

Array = NDArray[np.float64]


def heat_map(
    methods: Sequence[str], domains: Sequence[str], gains: Array, ringed: NDArray[np.bool_]
) -> bytes:
    """Return gains (methods, domains) in points as a PNG; NaN is left white."""
    figure, axes = plt.subplots(figsize=(1.6 + 0.52 * len(domains), 1.6 + 0.36 * len(methods)))
    axes.imshow(gains, cmap="RdBu", vmin=-100, vmax=100, aspect="auto")
    for (row, column), gain in np.ndenumerate(gains):
        if np.isfinite(gain):
            colour = "white" if abs(gain) > 60 else "black"
            axes.text(column, row, f"{gain:+.0f}", ha="center", va="center", fontsize=8, color=colour)
        if ringed[row, column]:
            corner = (column - 0.47, row - 0.47)
            axes.add_patch(plt.Rectangle(corner, 0.94, 0.94, fill=False, edgecolor="black", linewidth=1.2))
    axes.set_yticks(range(len(methods)), methods)
    axes.set_xticks(range(len(domains)), domains, rotation=45, ha="left")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return _png(figure)


def curves(label: str, points: Sequence[int], success: Mapping[str, Sequence[Sequence[float]]]) -> bytes:
    """Return success over `points` as a PNG, with t-intervals over training seeds.

    Args:
        label: Of the axis.
        points: (K,) severities or numbers of demonstrations.
        success: Candidate -> K lists with a mean success for each training seed; empty where unknown.
    """
    figure, axes = plt.subplots(figsize=(7.4, 3.8))
    places = np.arange(len(points))
    for name, lists in success.items():
        known = [k for k, rates in enumerate(lists) if rates]
        means = np.array([np.mean(lists[k]) for k in known])
        ends = [t_interval(lists[k]) if len(lists[k]) > 1 else (means[i],) * 2 for i, k in enumerate(known)]
        (line,) = axes.plot(places[known], means, marker="o", label=name)
        low, high = np.clip(np.array(ends).T, 0, 1) if ends else ([], [])
        axes.fill_between(places[known], low, high, alpha=0.15, color=line.get_color())
    axes.set_xticks(places, [str(point) for point in points])
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(label)
    axes.set_ylabel("success rate")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()
