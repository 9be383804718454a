"""Ask the check about cases whose answer is known: python scripts/planted_cases.py --run runs/train.

mirrored: a source whose sideways actions do the opposite of the target's, and a target whose colours
are swapped, so that the source's features follow the wrong cube. Left as it is, or adapted by a method
that holds on to it, it does worse than training on the target alone: the check must say `negative`.
control: the same target and demonstrations, and a source that is not mirrored: not `negative`.
shuffled: a source whose labels belong to other frames. Left as it is, or with a new head on what its encoder
learned from them: `negative`.
other goal: a source that goes to cubes of another colour, which are no goals in the target: `negative` too.
identical: the target is the source's own domain. It beats training on the target alone, and adapting it
can gain nothing: not `positive` against leaving it as it is, and not `negative`.
camera: a camera from which the source is blind, and fine-tuning on ten demonstrations rescues it: `positive`.
copies: one candidate trained twice, independently: neither `negative` nor `positive`.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import planted_sources as sources

from envs.errors import suggestion
from simreal.bundles import load_bundle
from simreal.check.request import CheckRequest
from simreal.check.run import CheckResult, check
from simreal.errors import SimrealError
from simreal.exits import run_script
from simreal.presets import PRESETS, Preset
from simreal.results import write_result
from simreal.targets import parse_target

NEGATIVE, POSITIVE, UNDECIDED = ("negative",), ("positive",), ("safe", "inconclusive")


@dataclass(frozen=True)
class Case:
    """One check, and the verdicts that are right: written down before it was run."""

    source: str
    target: str
    methods: tuple[str, ...]
    expected: dict[tuple[str, str], tuple[str, ...]]
    """Candidate and baseline -> verdicts."""
    many: bool = False
    """With so many demonstrations that target-only succeeds."""


CASES = {
    "mirrored": Case(
        "mirrored",
        "channel-order@5",
        ("cotrain", "head-only"),
        {
            ("cotrain", "target-only"): NEGATIVE,
            ("head-only", "target-only"): NEGATIVE,
            ("zero-shot", "target-only"): NEGATIVE,
        },
        many=True,
    ),
    "control": Case(
        "good",
        "channel-order@5",
        ("cotrain",),
        {("cotrain", "target-only"): (*POSITIVE, *UNDECIDED)},
        many=True,
    ),
    "shuffled": Case(
        "shuffled",
        "nominal",
        ("head-only",),
        {("head-only", "target-only"): NEGATIVE, ("zero-shot", "target-only"): NEGATIVE},
        many=True,
    ),
    "other goal": Case(
        "other-goal",
        "nominal",
        ("head-only",),
        {("head-only", "target-only"): NEGATIVE, ("zero-shot", "target-only"): NEGATIVE},
        many=True,
    ),
    "identical": Case(
        "good",
        "source",
        ("cotrain",),
        {
            ("cotrain", "target-only"): POSITIVE,
            ("zero-shot", "target-only"): POSITIVE,
            ("cotrain", "zero-shot"): UNDECIDED,
        },
    ),
    "camera": Case(
        "good",
        "camera-tilt@3",
        ("finetune",),
        {("finetune", "target-only"): POSITIVE, ("finetune", "zero-shot"): POSITIVE},
    ),
    "copies": Case("good", "workshop", ("cotrain", "cotrain#2"), {("cotrain#2", "cotrain"): UNDECIDED}),
}


@dataclass
class Options:
    """Which runs to use, and how much evidence to gather."""

    run: Path = Path("runs/train")
    """A pretraining run, made if it is not there."""
    out: Path = Path("runs/planted")
    """Where the wrong sources and finished trainings are kept; started again, it goes on."""
    cases: tuple[str, ...] = tuple(CASES)
    demos: int = 100
    """Where target-only is to succeed."""
    seeds: int | None = None
    preset: Preset = "default"
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


def source_of(case: Case, options: Options) -> Path:
    """Return the run that a case starts from, made if need be."""
    folder, sizes, seed = options.out / case.source, PRESETS[options.preset], options.seed
    good = sources.good(options.run, seed, sizes)
    match case.source:
        case "mirrored":
            return sources.mirrored(folder, seed, sizes)
        case "shuffled":
            return sources.shuffled(folder, good, seed, sizes)
        case "other-goal":
            return sources.other_goal(folder, good, seed, sizes)
    return good


def checked(name: str, case: Case, options: Options) -> CheckResult:
    """Check the source of a case on its target; the good run's teacher demonstrates."""
    folder = source_of(case, options)
    print(f"{name}: {folder.name} on {case.target}", flush=True)
    bundle = load_bundle(folder / "policy")
    request = CheckRequest.of(
        bundle,
        load_bundle(options.run / "teacher").policy,
        parse_target(case.target, bundle.manifest.env_id),
        case.methods,
        PRESETS[options.preset],
        run=folder,
        demos=options.demos if case.many else None,
        seeds=options.seeds,
        seed=options.seed,
    )
    result, details = check(request, options.out / f"{name}.json", resume=True)
    print("\n".join(details.sentences), flush=True)
    return result


def rows(name: str, case: Case, result: CheckResult) -> list[str]:
    """Return a line of the table for each comparison whose verdict is known."""
    found = {(item.candidate, item.baseline): item for item in result.comparisons}
    lines = []
    for pair, right in case.expected.items():
        item = found[pair]
        difference = f"{item.difference:+.2f} ({item.ci_low:+.2f} to {item.ci_high:+.2f})"
        told = f"{item.verdict} | {' or '.join(right)}"
        lines.append(f"| {name} | {' against '.join(pair)} | {difference} | {told} |")
    return lines


def main(options: Options) -> None:
    """Run every case, and print what was expected and what the check said."""
    started = time.perf_counter()
    for name in options.cases:
        if name not in CASES:
            raise SimrealError(f"no case named {name!r}; {suggestion(name, CASES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    results = {name: checked(name, CASES[name], options) for name in options.cases}
    print("| case | comparison | difference | verdict | expected |\n|---|---|---|---|---|")
    for name, result in results.items():
        print("\n".join(rows(name, CASES[name], result)))
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "planted_cases", options.seed, seconds, cases=results)


if __name__ == "__main__":
    run_script(main, Options)
