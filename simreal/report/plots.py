"""Plots of a run: the gap in each domain, and success seed by seed."""

import io
from statistics import fmean
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from simreal.targets import label_of

BEFORE, AFTER, NEUTRAL = "#c2552d", "#1f6f8b", "#8a8f98"


def gap_plot(rows: list[dict[str, Any]], target: str) -> bytes:
    """Return success per domain before and after adapting, with Wilson intervals, as PNG."""
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    domains = list(dict.fromkeys(_label(row) for row in rows))
    figure, axes = plt.subplots(figsize=(7.4, 0.52 * len(domains) + 1.3))
    for policy, colour, shift in zip(policies, (BEFORE, AFTER), (-0.13, 0.13), strict=False):
        mine = {_label(row): row for row in rows if row["policy"] == policy}
        rates = np.array([mine[domain]["success_rate"] for domain in domains])
        low = rates - np.array([mine[domain]["ci_low"] for domain in domains])
        high = np.array([mine[domain]["ci_high"] for domain in domains]) - rates
        where = np.arange(len(domains)) + shift
        spans = np.clip([low, high], 0, None)
        label = policy if policy == "zero-shot" else f"{policy}, adapted to {target}"
        axes.errorbar(rates, where, xerr=spans, fmt="o", color=colour, capsize=3, label=label)
    axes.set_yticks(range(len(domains)), domains)
    for tick, domain in zip(axes.get_yticklabels(), domains, strict=True):
        tick.set_fontweight("bold" if domain == target else "normal")
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("success rate (95% Wilson interval over episodes)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return _png(figure, axes)


def seeds_plot(success: dict[str, list[float]]) -> bytes:
    """Return success of every candidate, a dot for each training seed and a bar at the mean, as PNG."""
    names = list(success)
    figure, axes = plt.subplots(figsize=(7.4, 0.5 * len(names) + 0.9))
    for row, name in enumerate(names):
        rates = np.array(success[name])
        # Spread by rank, not by chance: the same data gives the same picture.
        offsets = np.linspace(-0.16, 0.16, len(rates))
        axes.scatter(np.sort(rates), row + offsets, s=22, color=AFTER if row else NEUTRAL, alpha=0.75)
        mean = fmean(rates)  # as the page has it, to the last bit: a half is rounded one way
        axes.plot([mean] * 2, [row - 0.3, row + 0.3], color="black", linewidth=2)
        axes.text(1.05, row, f"{mean:.2f}", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("success on the target; a dot is one training seed, the bar their mean")
    return _png(figure, axes)


def _label(row: dict[str, Any]) -> str:
    return label_of(str(row["domain"]), row["severity"])


def _png(figure: Figure, axes: Any) -> bytes:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
    axes.grid(axis="x", alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()
