"""Plots of a study: gain of every method in every domain, and success over severities and budgets."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from simreal.check.statistics import t_interval

Array = NDArray[np.float64]
Lines = Mapping[str, tuple[Sequence[int], Sequence[Sequence[float]]]]
_COLUMNS = 3


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
        means, low, high = _bands([lists[k] for k in known])
        (line,) = axes.plot(places[known], means, marker="o", label=name)
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


def budget_curves(label: str, threshold: float, panels: Mapping[str, Lines]) -> bytes:
    """Return success over the target budget as a PNG, a panel for each domain.

    Args:
        label: Of the budget.
        threshold: Of success, drawn as a line.
        panels: Domain -> candidate -> its budgets (K,) and K lists with the success of each training seed;
            the baseline first. One that starts from no budget learns nothing of it, and is drawn across.
    """
    rows = math.ceil(len(panels) / _COLUMNS)
    columns = min(_COLUMNS, len(panels))
    size = (max(4.4, 2.9 * columns), 0.7 + 2.4 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=True)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colours = dict(zip(names, ("0.35", *(f"C{number}" for number in range(len(names)))), strict=False))
    for axes, (domain, lines) in zip(grid.flat, panels.items(), strict=False):
        for name, (budgets, success) in lines.items():
            _line(axes, name, colours[name], budgets, success)
        axes.axhline(threshold, color="black", linewidth=0.8, linestyle=":")
        _budget_axis(axes, sorted({at for budgets, _ in lines.values() for at in budgets} - {0}))
        axes.set_title(domain, fontsize=10)
        axes.set_xlabel(label)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel("success rate")
    handles = [plt.Line2D([], [], color=colours[name], marker="o", label=name) for name in names]
    dotted = plt.Line2D([], [], color="black", linewidth=0.8, linestyle=":", label=f"threshold {threshold:g}")
    figure.legend(
        handles=[*handles, dotted], loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False
    )
    figure.tight_layout()
    return _png(figure)


def _line(
    axes: Any, name: str, colour: str, budgets: Sequence[int], success: Sequence[Sequence[float]]
) -> None:
    """Draw the mean of a candidate, with a band of t-intervals."""
    means, low, high = _bands(success)
    if budgets[0] == 0:
        axes.axhline(means[0], color=colour, label=name)
        axes.axhspan(low[0], high[0], color=colour, alpha=0.12, linewidth=0)
        return
    axes.plot(budgets, means, marker="o", markersize=4, color=colour, label=name)
    axes.fill_between(budgets, low, high, color=colour, alpha=0.15, linewidth=0)


def _bands(success: Sequence[Sequence[float]]) -> tuple[Array, Array, Array]:
    """Return means (K,) over training seeds, and the ends (K,) of their t-intervals; one seed has none."""
    means = np.array([np.mean(rates) for rates in success])
    ends = [t_interval(rates) if len(rates) > 1 else (rates[0], rates[0]) for rates in success]
    low, high = np.clip(np.array(ends).reshape(-1, 2).T, 0, 1)
    return means, low, high


def _budget_axis(axes: Any, budgets: Sequence[int]) -> None:
    """Space budgets by their ratios, and name them."""
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets], fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.02, 1.02)
    axes.grid(axis="y", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()
