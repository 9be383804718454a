"""Which shifts the drift watch notices: python scripts/drift_roc.py --policy RUN/policy --source RUN.

Runs the exported policy in every domain of the suite, on `evaluate`'s episodes, with the drift watch
beside it. Prints a Markdown table of success and alarms; a shift is harmful where the 95% interval of
success lies below nominal success. The ROC is over decisions, against fresh episodes of the source.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from simreal import workers
from simreal.bundles import load_bundle, source_domain
from simreal.deploy.drift import THRESHOLD
from simreal.deploy.watched import WatchedEpisode, watch_episodes
from simreal.evaluate import episode_seeds
from simreal.exits import run_script
from simreal.export import export
from simreal.presets import Preset
from simreal.progress import progress
from simreal.results import EvaluationRow, write_result
from simreal.targets import Target, parse_target

EPISODES = {"default": (20, 200), "smoke": (1, 2)}
"""Of each shift, and of nominal and source."""
_CHUNK = 10  # episodes a worker runs at a time


@dataclass
class Options:
    """What to measure."""

    policy: Path = Path("runs/train/policy")
    source: Path = Path("runs/train")
    """Pretraining run of the policy."""
    false_alarms: float = 0.01
    """Share of decisions at which the watch may fire in the source's worlds."""
    severities: tuple[int, ...] = (1, 3, 5)
    preset: Preset = "default"
    seed: int = 0
    picture: Path | None = None
    """Write the ROC there."""
    json: Path | None = None
    """Write the result there as JSON."""


@dataclass(frozen=True, eq=False)
class Cell:
    """The episodes of one domain at one severity."""

    row: EvaluationRow
    family: str
    alarmed: float
    """Share of episodes with an alarm."""
    distances: NDArray[np.float64]
    """Of all decisions."""

    @classmethod
    def of(cls, target: Target, episodes: list[WatchedEpisode]) -> "Cell":
        """Summarize episodes."""
        summaries = [episode.summary for episode in episodes]
        returns = [summary.total_reward for summary in summaries]
        successes = sum(summary.success for summary in summaries)
        row = EvaluationRow.of_episodes("zero-shot", target.name, target.severity, successes, returns)
        alarmed = np.mean([episode.distances.max() > THRESHOLD for episode in episodes])
        family = target.domain.family if target.domain else ""
        return cls(row, family, float(alarmed), np.concatenate([episode.distances for episode in episodes]))

    def harmful(self, nominal: "Cell") -> bool:
        """Tell whether the policy is worse here than in nominal worlds."""
        return self.row.ci_high < nominal.row.success_rate


def roc(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return false and true positive rates over all thresholds, from 0 to 1."""
    thresholds = np.concatenate([[np.inf], np.sort(np.unique(np.concatenate([negative, positive])))[::-1]])
    return tuple(
        1 - np.searchsorted(np.sort(values), thresholds, side="left") / len(values)
        for values in (negative, positive)
    )  # type: ignore[return-value]


def area(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> float:
    """Return the area under the ROC."""
    return float(np.trapezoid(*roc(negative, positive)[::-1]))


def measure(options: Options) -> tuple[Cell, Cell, list[Cell]]:
    """Return the cells of the source, of nominal, and of every shift."""
    bundle = load_bundle(options.policy)
    env_id, few_many = bundle.manifest.env_id, EPISODES[options.preset]
    targets = [Target(env_id, source_domain(bundle)), parse_target("nominal", env_id)]
    targets += [Target(env_id, domain) for s in options.severities for domain in envs.suite(s)]
    counts = [few_many[index < 2] for index in range(len(targets))]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "policy.onnx"
        export(bundle, model, options.source, options.false_alarms, options.seed)
        jobs = [
            [workers.submit(watch_episodes, model, target, part) for part in chunks(options.seed, count)]
            for target, count in zip(targets, counts, strict=True)
        ]
        cells = []
        with progress("watch", sum(counts), "episodes") as advance:
            for target, futures in zip(targets, jobs, strict=True):
                episodes = [episode for future in futures for episode in future.result()]
                cells.append(Cell.of(target, episodes))
                advance(len(episodes))
    return cells[0], cells[1], cells[2:]


def chunks(seed: int, count: int) -> list[list[int]]:
    """Return the seeds of `evaluate`'s episodes in parts."""
    seeds = episode_seeds(seed, count)
    return [seeds[start : start + _CHUNK] for start in range(0, count, _CHUNK)]


def table(nominal: Cell, source: Cell, shifts: list[Cell], severities: tuple[int, ...]) -> list[str]:
    """Return the lines of the Markdown table: `success / share of episodes with an alarm`."""
    found = {(cell.row.domain, cell.row.severity): cell for cell in shifts}
    last = f"AUC at {severities[-1]}"
    lines = [
        "| family | domain | " + " | ".join(f"severity {s}" for s in severities) + f" | {last} |",
        "|---" * (len(severities) + 3) + "|",
    ]
    for name in dict.fromkeys(cell.row.domain for cell in shifts):
        mine = [found[name, severity] for severity in severities]
        entries = []
        for cell in mine:
            text = f"{cell.row.success_rate:.2f} / {cell.alarmed:.2f}"
            entries.append(f"**{text}**" if cell.harmful(nominal) else text)
        value = area(source.distances, mine[-1].distances)
        lines.append(f"| {mine[0].family} | {name} | " + " | ".join(entries) + f" | {value:.2f} |")
    return lines


def figures(nominal: Cell, source: Cell, shifts: list[Cell]) -> dict[str, float]:
    """Return false alarms, and what share of harmful and of harmless shifts is noticed."""
    sides = {
        "harmful": [cell for cell in shifts if cell.harmful(nominal)],
        "harmless": [cell for cell in shifts if not cell.harmful(nominal)],
    }
    told: dict[str, float] = {}
    for name, cell in (("source", source), ("nominal", nominal)):
        told[f"{name}_decisions"] = float(np.mean(cell.distances > THRESHOLD))
        told[f"{name}_episodes"] = cell.alarmed
    for name, cells in sides.items():
        told[f"{name}_shifts"] = len(cells)
        if cells:
            told[f"{name}_noticed"] = sum(cell.alarmed >= 0.5 for cell in cells)
            told[f"{name}_episodes"] = float(np.mean([cell.alarmed for cell in cells]))
            pooled = np.concatenate([cell.distances for cell in cells])
            told[f"{name}_auc"] = area(source.distances, pooled)
    return told


def draw(path: Path, nominal: Cell, source: Cell, shifts: list[Cell], rate: float) -> None:
    """Draw the ROC of the harmful shifts by family, and alarms over the success that was lost."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for index, family in enumerate(envs.domain.FAMILIES):
        mine = [cell for cell in shifts if cell.family == family]
        if harmful := [cell.distances for cell in mine if cell.harmful(nominal)]:
            left.plot(*roc(source.distances, np.concatenate(harmful)), color=f"C{index}", label=family)
        lost = [nominal.row.success_rate - cell.row.success_rate for cell in mine]
        faces = [f"C{index}" if cell.harmful(nominal) else "none" for cell in mine]
        alarms = [cell.alarmed for cell in mine]
        right.scatter(lost, alarms, facecolors=faces, edgecolors=f"C{index}", label=family)
    harmless = [cell.distances for cell in shifts if not cell.harmful(nominal)]
    if harmless:
        left.plot(*roc(source.distances, np.concatenate(harmless)), "k:", label="harmless shifts")
    left.axvline(rate, color="grey", linestyle="--", label=f"stated rate, {rate:.0%}")
    left.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 1.02), title="Harmful shifts, over decisions")
    left.set(xlabel="false alarms in source worlds", ylabel="share of decisions above the threshold")
    right.set(
        xlabel="success lost to the shift", ylabel="share of episodes with an alarm", ylim=(-0.04, 1.04)
    )
    right.set(title="Every shift at the stated rate (filled: harmful)")
    left.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(options: Options) -> None:
    """Measure, print the table, and draw."""
    started = time.perf_counter()
    source, nominal, shifts = measure(options)
    told = figures(nominal, source, shifts)
    print("\n".join(table(nominal, source, shifts, options.severities)), "\n")
    for name, value in told.items():
        print(f"{name:<20} {value:.4g}")
    if options.picture:
        draw(options.picture, nominal, source, shifts, options.false_alarms)
    if options.json:
        seconds = time.perf_counter() - started
        rows = [cell.row for cell in (source, nominal, *shifts)]
        alarms = [
            {"domain": cell.row.domain, "severity": cell.row.severity, "episodes_alarmed": cell.alarmed,
             "auc": area(source.distances, cell.distances), "harmful": cell.harmful(nominal)}
            for cell in shifts
        ]  # fmt: skip
        write_result(
            options.json, "drift_roc", options.seed, seconds, evaluation=rows, benchmark=told, alarms=alarms
        )


if __name__ == "__main__":
    run_script(main, Options)
