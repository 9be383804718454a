"""Measure what each domain of the suite does to a policy: python scripts/suite_table.py --policy BUNDLE.

Prints a Markdown table: success on every domain by severity, and a mark on domains that are inert for
the task, which means that even severity 5 costs less than five points of nominal success.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import envs
from simreal.bundles import load_bundle
from simreal.evaluate import evaluate
from simreal.exits import run_script
from simreal.presets import PRESETS, Preset
from simreal.results import EvaluationRow, write_result
from simreal.targets import Target, parse_target

INERT = 0.05


@dataclass
class Options:
    """What to measure."""

    policy: Path = Path("runs/train/policy")
    severities: tuple[int, ...] = (1, 3, 5)
    episodes: int | None = None
    """For each domain and severity; the preset's by default."""
    nominal_episodes: int = 300
    preset: Preset = "default"
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


def cell(row: EvaluationRow) -> str:
    """Return a success rate with its interval."""
    return f"{row.success_rate:.2f} ({row.ci_low:.2f}-{row.ci_high:.2f})"


def table(nominal: EvaluationRow, rows: list[EvaluationRow], severities: tuple[int, ...]) -> list[str]:
    """Return the lines of the Markdown table, by family, with the family's mean below its domains."""
    found = {(row.domain, row.severity): row for row in rows}
    lines = [
        f"nominal: {cell(nominal)} over {nominal.episodes} episodes",
        "",
        "| family | domain | " + " | ".join(f"severity {s}" for s in severities) + " | |",
        "|---" * (len(severities) + 3) + "|",
    ]
    for family in envs.domain.FAMILIES:
        names = [domain.name for domain in envs.suite(3, (family,))]
        for name in names:
            mine = [found[name, severity] for severity in severities]
            mark = "inert" if mine[-1].success_rate > nominal.success_rate - INERT else ""
            lines.append(f"| {family} | {name} | " + " | ".join(map(cell, mine)) + f" | {mark} |")
        means = [sum(found[n, s].success_rate for n in names) / len(names) for s in severities]
        lines.append(
            f"| **{family}** | **mean** | " + " | ".join(f"**{mean:.2f}**" for mean in means) + " | |"
        )
    return lines


def main(options: Options) -> None:
    """Evaluate the suite, and print the table."""
    started, bundle = time.perf_counter(), load_bundle(options.policy)
    env_id, policies = bundle.manifest.env_id, {"zero-shot": bundle.policy}
    sizes = PRESETS[options.preset]
    episodes = options.episodes or sizes.evaluation_episodes
    targets = [Target(env_id, domain) for s in options.severities for domain in envs.suite(s)]
    nominal_episodes = options.nominal_episodes if options.preset == "default" else episodes
    (nominal,) = evaluate(policies, [parse_target("nominal", env_id)], nominal_episodes, options.seed)
    rows = evaluate(policies, targets, episodes, options.seed)
    print("\n".join(table(nominal, rows, options.severities)))
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "suite_table", options.seed, seconds, evaluation=[nominal, *rows])


if __name__ == "__main__":
    run_script(main, Options)
