"""`run`, the main job: pretrain, measure the gap, adapt, check, report."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from policies import PolicyBundle
from simreal.adapt import adapted_bundle, with_verdict
from simreal.bundles import load_bundle
from simreal.check.candidates import check_candidates, check_needs, check_seeds, needs_of
from simreal.check.request import CheckRequest
from simreal.check.run import check
from simreal.check.spending import used
from simreal.errors import SimrealError, at_least
from simreal.evaluate import evaluate
from simreal.presets import PRESETS, Preset, Sizes
from simreal.pretrain import PretrainConfig, PretrainResult
from simreal.pretrain import run as pretrain
from simreal.pretrain.cost import source_cost
from simreal.progress import say
from simreal.report import build as build_report
from simreal.results import EvaluationRow, write_result
from simreal.targets import Target, check_spaces, parse_target

# Beside nominal and the target: two of camera, two of colour and light, one of sensing, one of motors.
FURTHER_DOMAINS = (
    "camera-shift", "field-of-view", "object-colour", "low-light", "blur", "weak-motors",
)  # fmt: skip


@dataclass(frozen=True)
class RunConfig:
    """The main job."""

    target: str = "workshop"
    """Any target: a domain, `domain@severity`, a domain file."""
    method: tuple[str, ...] = ("cotrain",)
    """Candidates; the first is the primary one."""
    preset: Preset = "default"
    """How much work: `default`, or `smoke` to see that everything runs."""
    demos: int | None = None
    """Demonstrations for each training seed; the preset's by default."""
    seeds: int | None = None
    """Training seeds of the check; the preset's by default."""
    episodes: int | None = None
    """Episodes for each domain of the evaluation; the preset's by default."""
    source: str = "source"
    """Domain to pretrain in."""
    env: str = "simreal/PandaReach-v0"
    """Gymnasium id."""


def run(config: RunConfig, out: Path, seed: int = 0, resume: bool = False, overwrite: bool = False) -> Path:
    """Do the main job in the run folder `out` and return the path of its report.

    Raises:
        SimrealError: for a target, a method or a folder that cannot be used, before anything runs.
    """
    started = time.perf_counter()
    sizes = PRESETS[config.preset]
    target = parse_target(config.target, config.env)
    at_least(1, demos=config.demos, seeds=config.seeds, episodes=config.episodes)
    target.open()
    check_candidates(config.method)
    check_seeds(seed, config.seeds)
    for name in config.method:
        _check_method(name)
    if overwrite:
        clear(out)
    source = _pretrain(config, sizes, out, seed, resume)
    bundle = load_bundle(source.policy)
    check_spaces(target, bundle.manifest)
    request = _check_request(config, sizes, out, seed, target, bundle)
    try:
        result, details = check(request, out / "check.json", resume)
    except KeyboardInterrupt:
        say(f"interrupted; {out} goes on with --resume")
        raise
    adapted = adapted_bundle(
        bundle,
        details.adapted,
        config.method[0],
        target.label,
        demonstrations=result.budget.demonstrations,
    )
    adapted = with_verdict(adapted, result.comparisons[0])
    adapted.save(out / "adapted", overwrite=True)
    rows = _evaluate(config, sizes, seed, target, bundle, adapted)
    seconds = time.perf_counter() - started
    write_result(
        out / "result.json",
        "run",
        seed,
        seconds,
        pretrain_seconds=round(source.seconds, 3),
        evaluation=rows,
        check=result,
        target=target.label,
        world=target.to_plain(),
        method=config.method[0],
        config=config,
        sentences=details.sentences,
        settings=details.settings,
    )
    report = build_report(out)
    for line in used(result.spending.spent):
        say(line)
    say(f"{details.sentences[0]}\nreport: {report}  ({seconds:.0f} s)")
    return report


def _check_method(name: str) -> None:
    """Refuse a method that needs what this job does not record, before anything is pretrained."""
    if "unlabelled frames" in needs_of(name):
        what = f"method {name!r} needs unlabelled frames, and `run` records demonstrations alone"
        raise SimrealError(f"{what}: pretrain, then use simreal check --method {name} --frames N")
    check_needs(name, Path(), 0)


def _pretrain(config: RunConfig, sizes: Sizes, out: Path, seed: int, resume: bool) -> PretrainResult:
    settings = PretrainConfig(config.env, config.source, "distill", sizes.teacher, sizes.distill, sizes.rl)
    say("pretrain in randomized worlds")
    return pretrain(settings, out, seed, resume)


def _check_request(
    config: RunConfig, sizes: Sizes, out: Path, seed: int, target: Target, bundle: PolicyBundle
) -> CheckRequest:
    return CheckRequest.of(
        bundle,
        load_bundle(out / "teacher").policy,
        target,
        config.method,
        sizes,
        run=out,
        demos=config.demos,
        seeds=config.seeds,
        seed=seed,
        source_cost=source_cost(out),
    )


def _evaluate(
    config: RunConfig,
    sizes: Sizes,
    seed: int,
    target: Target,
    bundle: PolicyBundle,
    adapted: PolicyBundle,
) -> list[EvaluationRow]:
    names = ["nominal", config.target, *FURTHER_DOMAINS]
    targets = [parse_target(name, config.env) for name in dict.fromkeys(names)]
    policies = {"zero-shot": bundle.policy, config.method[0]: adapted.policy}
    episodes = sizes.evaluation_episodes if config.episodes is None else config.episodes
    return evaluate(policies, targets, episodes, seed)


def clear(out: Path) -> None:
    """Remove an earlier run, and nothing that is not one."""
    if not out.is_dir():
        return
    if not (out / "config.json").is_file() and any(out.iterdir()):
        raise SimrealError(f"{out} is not a run folder: it is not overwritten; choose another --out")
    shutil.rmtree(out)
