"""Ask the check about cases whose answer is known: python scripts/planted_cases.py --run runs/train.

Mirrored: a source whose sideways actions do the opposite of the target's, and a target whose colours
are swapped, so that the source's features follow the wrong cube. Left as it is, or adapted by a method
that holds on to it, it does worse than training on the target alone: the check must say `negative`.
Control: the same target and demonstrations, and a source that is not mirrored: not `negative`.
Copies: one candidate trained twice, independently: neither `negative` nor `positive`.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from simreal.bundles import load_bundle, source_domain
from simreal.check.run import CheckRequest, CheckResult, check
from simreal.exits import run_script
from simreal.presets import PRESETS, Preset
from simreal.pretrain import PretrainConfig, run
from simreal.results import write_result
from simreal.targets import parse_target

MIRRORED = "name: mirrored\nextends: source\ndynamics: {action_gain: [1, -1, 1]}\n"


@dataclass
class Options:
    """Which runs to use, and how much evidence to gather."""

    run: Path = Path("runs/train")
    """A pretraining run, made if it is not there; the copies are adapted from it."""
    out: Path = Path("runs/planted")
    demos: int = 100
    """For the mirrored case: enough for target-only to succeed."""
    seeds: int | None = None
    preset: Preset = "default"
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


def pretrained(folder: Path, source: str, options: Options) -> Path:
    """Return a pretraining run of this source, made or finished if need be."""
    sizes = PRESETS[options.preset]
    config = PretrainConfig(source=source, teacher=sizes.teacher, distill=sizes.distill)
    if not (folder / "policy").is_dir():
        run(config, folder, options.seed, resume=True)
    return folder


def checked(folder: Path, teacher: Path, target: str, options: Options, **settings: object) -> CheckResult:
    """Check a run on a target, with the teacher of another run to demonstrate."""
    print(f"{folder.name} on {target}")
    bundle, sizes = load_bundle(folder / "policy"), PRESETS[options.preset]
    request = CheckRequest(
        target=parse_target(target, bundle.manifest.env_id),
        source_policy=bundle.policy,
        teacher=load_bundle(teacher / "teacher").policy,
        source_data=folder / "source",
        source_domain=source_domain(bundle),
        methods=("cotrain",),
        demos=sizes.demos,
        seeds=options.seeds or sizes.seeds,
        episodes=sizes.check_episodes,
        updates=sizes.updates,
        most_updates=sizes.tuning_updates,
        seed=options.seed,
    )
    result, details = check(dataclasses.replace(request, **settings))  # type: ignore[arg-type]
    print("\n".join(details.sentences))
    return result


# Case and comparison -> the verdicts that are right, written down before anything was run.
EXPECTED = {
    ("mirrored", "cotrain", "target-only"): ("negative",),
    ("mirrored", "head-only", "target-only"): ("negative",),
    ("mirrored", "zero-shot", "target-only"): ("negative",),
    ("control", "cotrain", "target-only"): ("positive", "safe", "inconclusive"),
    ("copies", "cotrain#2", "cotrain"): ("safe", "inconclusive"),
}


def main(options: Options) -> None:
    """Run every case, and print what was expected and what the check said."""
    started = time.perf_counter()
    good = pretrained(options.run, "source", options)
    options.out.mkdir(parents=True, exist_ok=True)
    domain = options.out / "mirrored.yaml"
    domain.write_text(MIRRORED, encoding="utf-8")
    mirrored = pretrained(options.out / "mirrored", str(domain), options)
    swapped, demos = "channel-order@5", options.demos
    results = {
        "mirrored": checked(mirrored, good, swapped, options, methods=("cotrain", "head-only"), demos=demos),
        "control": checked(good, good, swapped, options, methods=("cotrain",), demos=demos),
        "copies": checked(good, good, "workshop", options, methods=("cotrain", "cotrain#2")),
    }
    found = {
        (case, item.candidate, item.baseline): item
        for case, result in results.items()
        for item in result.comparisons
    }
    print("| case | comparison | difference | verdict | expected |\n|---|---|---|---|---|")
    for (case, candidate, baseline), right in EXPECTED.items():
        item = found[case, candidate, baseline]
        difference = f"{item.difference:+.2f} ({item.ci_low:+.2f} to {item.ci_high:+.2f})"
        wanted = " or ".join(right)
        print(f"| {case} | {candidate} against {baseline} | {difference} | {item.verdict} | {wanted} |")
    if options.json:
        seconds = time.perf_counter() - started
        parts = {"check": results["mirrored"], "control": results["control"], "copies": results["copies"]}
        write_result(options.json, "planted_cases", options.seed, seconds, **parts)


if __name__ == "__main__":
    run_script(main, Options)
