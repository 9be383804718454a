"""The commands: typed options, checked, handed to the stage that does the work."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import envs
from simreal import adapt as adapting
from simreal import evaluate as evaluating
from simreal import run as main_job
from simreal.bundles import load_bundle, source_domain
from simreal.check.run import CheckRequest, check
from simreal.collect import collect
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.doctor import examine
from simreal.errors import SimrealError
from simreal.import_sb3 import import_policy
from simreal.presets import PRESETS, Preset
from simreal.pretrain import PretrainConfig
from simreal.pretrain import run as pretrain
from simreal.progress import be_quiet, say
from simreal.report import build
from simreal.results import EvaluationRow, write_result
from simreal.targets import Target, check_spaces, parse_target
from simreal.transfer import METHODS, method


@dataclass(frozen=True)
class Common:
    """Options of every command."""

    out: Path | None = None
    """Run folder for the results; runs/COMMAND by default."""
    seed: int = 0
    """Of everything random."""
    quiet: bool = False
    """Print nothing but errors."""
    json: bool = False
    """Print result.json at the end."""
    overwrite: bool = False
    """Replace an earlier result in the run folder."""

    def folder(self) -> Path:
        """Return the run folder."""
        return self.out or Path("runs") / type(self).__name__.lower()

    def execute(self) -> None:
        """Do the work, write `result.json`, and print it if asked."""
        be_quiet(self.quiet)
        started = time.perf_counter()
        path = self.folder() / "result.json"
        if path.is_file() and not self.overwrite and not getattr(self, "resume", False):
            raise SimrealError(f"{path} exists already: choose another --out, or add --overwrite")
        parts = self.work()
        if parts is not None:
            seconds = time.perf_counter() - started
            write_result(path, type(self).__name__.lower(), self.seed, seconds, **parts)
        if self.json:
            print(path.read_text(encoding="utf-8"), end="")

    def work(self) -> dict[str, Any] | None:
        """Return the parts of `result.json`; None if it has been written already."""
        raise NotImplementedError


@dataclass(frozen=True)
class Run(Common):
    """The main job: pretrain, measure the gap, adapt, check, report."""

    config: main_job.RunConfig = field(default_factory=main_job.RunConfig)
    resume: bool = False
    """Go on with an interrupted run in the same folder."""

    def work(self) -> None:
        """Run everything."""
        main_job.run(self.config, self.folder(), self.seed, self.resume, self.overwrite)


@dataclass(frozen=True)
class Pretrain(Common):
    """Source policy -> bundle."""

    env: str = "simreal/PandaReach-v0"
    """Gymnasium id."""
    source: str = "source"
    """Domain to pretrain in: a name or a YAML file."""
    recipe: Literal["distill", "rl"] = "distill"
    """`distill`: PPO teacher, then a vision student; `rl`: PPO or SAC on the image itself."""
    algorithm: Literal["ppo", "sac"] = "ppo"
    """For `--recipe rl`."""
    preset: Preset = "default"
    """How much work."""
    resume: bool = False
    """Go on with an interrupted run in the same folder."""

    def work(self) -> dict[str, Any]:
        """Pretrain."""
        import dataclasses

        sizes = PRESETS[self.preset]
        rl = dataclasses.replace(sizes.rl, algorithm=self.algorithm)
        config = PretrainConfig(self.env, self.source, self.recipe, sizes.teacher, sizes.distill, rl)
        if self.overwrite:
            main_job.clear(self.folder())
        result = pretrain(config, self.folder(), self.seed, self.resume)
        say(f"bundle: {result.policy}")
        return {"policy": result.policy, "teacher": result.teacher}


@dataclass(frozen=True)
class Collect(Common):
    """Demonstrations from a target, as a LeRobot dataset v3.0 in OUT/dataset."""

    policy: Path = Path("runs/run/teacher")
    """Bundle of the expert; in a simulated target the teacher of a pretraining."""
    target: str = "workshop"
    """A domain, `domain@severity`, or a domain file."""
    demos: int = 10
    """Successful demonstrations to record."""

    def work(self) -> dict[str, Any]:
        """Record."""
        bundle = load_bundle(self.policy)
        target = parse_target(self.target, bundle.manifest.env_id)
        path = self.folder() / "dataset"
        frames = collect(bundle, target, self.demos, self.seed, path, self.overwrite)
        say(f"{self.demos} demonstrations, {frames} frames: {path}")
        return {"dataset": path, "demonstrations": self.demos, "frames": frames}


@dataclass(frozen=True)
class Adapt(Common):
    """Bundle + target data + method -> adapted bundle in OUT/policy."""

    policy: Path = Path("runs/run/policy")
    """Bundle to adapt; it is never changed."""
    demos: Path = Path("runs/collect/dataset")
    """LeRobot dataset v3.0 with demonstrations of the target."""
    method: str = "cotrain"
    """Transfer method; see `simreal methods`."""
    source: Path | None = None
    """Pretraining run whose source data a method needs."""

    def work(self) -> dict[str, Any]:
        """Adapt."""
        method(self.method)
        bundle = load_bundle(self.policy)
        dataset = LeRobotDataset(self.demos)
        started = time.perf_counter()
        adapted = adapting.adapt(bundle, self.method, dataset, self.source, self.seed)
        path = self.folder() / "policy"
        if path.resolve() == self.policy.resolve():
            raise SimrealError(f"{path} is the bundle being adapted: choose another --out")
        adapted.save(path, overwrite=self.overwrite)
        say(f"adapted bundle: {path}")
        seconds = time.perf_counter() - started
        return {"policy": path, "method": self.method, "adapt_seconds": round(seconds, 3)}


@dataclass(frozen=True)
class Evaluate(Common):
    """Bundle x domains x severities -> success, return, intervals."""

    policy: tuple[Path, ...] = (Path("runs/run/policy"),)
    """Bundles; all get the same episodes."""
    target: tuple[str, ...] = ("suite",)
    """Targets; `suite` stands for every named target."""
    severity: tuple[int, ...] = (3,)
    """Severities of the suite, 1 to 5."""
    episodes: int = 100
    """Episodes for each policy in each target."""

    def work(self) -> dict[str, Any]:
        """Evaluate, and print a table."""
        bundles = {str(path): load_bundle(path) for path in self.policy}
        first = next(iter(bundles.values()))
        targets = _targets(self.target, self.severity, first.manifest.env_id)
        for bundle in bundles.values():
            for target in targets:
                check_spaces(target, bundle.manifest)
        policies = {name: bundle.policy for name, bundle in bundles.items()}
        if len(policies) == 1:
            policies = {first.manifest.method or "zero-shot": first.policy}
        rows = evaluating.evaluate(policies, targets, self.episodes, self.seed)
        _show(rows)
        return {"evaluation": rows}


@dataclass(frozen=True)
class Check(Common):
    """Candidates x training seeds on one target -> verdicts."""

    policy: Path = Path("runs/run/policy")
    """Bundle of the source policy."""
    teacher: Path = Path("runs/run/teacher")
    """Bundle of the expert that records demonstrations."""
    source: Path | None = None
    """Pretraining run whose source data a method needs."""
    target: str = "workshop"
    """A domain, `domain@severity`, or a domain file."""
    method: tuple[str, ...] = ("cotrain",)
    """Candidates; the first is the primary one."""
    preset: Preset = "default"
    """How much work, where the following do not say."""
    demos: int | None = None
    """Demonstrations for each training seed."""
    seeds: int | None = None
    """Training seeds; a verdict needs six."""
    episodes: int | None = None
    """Episodes for each candidate and seed."""

    def work(self) -> dict[str, Any]:
        """Check, and print every verdict."""
        bundle, teacher = load_bundle(self.policy), load_bundle(self.teacher)
        target = parse_target(self.target, bundle.manifest.env_id)
        check_spaces(target, bundle.manifest)
        sizes = PRESETS[self.preset]
        request = CheckRequest(
            target=target,
            source_policy=bundle.policy,
            teacher=teacher.policy,
            source_data=None if self.source is None else self.source / "source",
            source_domain=source_domain(bundle),
            methods=self.method,
            demos=self.demos or sizes.demos,
            seeds=self.seeds or sizes.seeds,
            episodes=self.episodes or sizes.check_episodes,
            most_updates=sizes.tuning_updates,
            seed=self.seed,
        )
        result, details = check(request)
        for text in details.sentences:
            say(text)
        return {"check": result, "sentences": details.sentences, "target_only": details.tuned}


@dataclass(frozen=True, kw_only=True)
class Import(Common):
    """A stable-baselines3 zip trained elsewhere -> bundle in OUT/policy; no code in it is run."""

    zip: Path
    """What `model.save` wrote: PPO, A2C, SAC, TD3 or DDPG with a stock policy."""
    env: str
    """Gymnasium id it was trained in, `module:id` if a module registers it, or `module:function`."""
    normalize: Path | None = None
    """What `VecNormalize.save` wrote; needed if the model was trained behind one."""
    control_period: float | None = None
    """Seconds between two actions, where the environment does not tell."""

    def work(self) -> dict[str, Any]:
        """Import."""
        bundle = import_policy(self.zip, self.env, self.normalize, self.control_period, self.seed)
        path = bundle.save(self.folder() / "policy", overwrite=self.overwrite)
        say(f"bundle: {path}")
        return {"policy": path}


@dataclass(frozen=True)
class Methods(Common):
    """The transfer methods: what each needs and adapts."""

    def execute(self) -> None:
        """Print a table, or JSON."""
        import json

        rows = [
            {
                "id": item.id,
                "family": item.family,
                "setting": item.setting,
                "needs": list(item.needs),
                "adapts": item.adapts,
                "paper": item.paper,
            }
            for item in METHODS.values()
        ]
        if self.json:
            print(json.dumps(rows, indent=1))
            return
        for row in rows:
            needs, adapts = " + ".join(row["needs"]), row["adapts"]
            print(f"{row['id']:<12} {row['setting']:<12} {needs:<30} {adapts:<18} {row['paper']}")


@dataclass(frozen=True)
class Report(Common):
    """Run folder -> HTML."""

    def execute(self) -> None:
        """Write the page of the run folder `--out`."""
        be_quiet(self.quiet)
        say(f"report: {build(self.out or Path('runs/run'))}")


@dataclass(frozen=True)
class Doctor(Common):
    """What is installed, what renders, how fast this machine is."""

    def work(self) -> dict[str, Any]:
        """Examine, and print what was found."""
        found = examine()
        for name, value in found.items():
            say(f"{name:<28} {value}")
        return {"benchmark": found}


def _targets(names: tuple[str, ...], severities: tuple[int, ...], env_id: str) -> list[Target]:
    targets = []
    for name in names:
        if name == "suite":
            domains = [domain for severity in severities for domain in envs.suite(severity)]
            targets += [Target(env_id, domain) for domain in domains]
        else:
            targets.append(parse_target(name, env_id))
    return targets


def _show(rows: list[EvaluationRow]) -> None:
    for row in rows:
        label = f"{row.domain}@{row.severity}" if row.severity else row.domain
        interval = f"{row.ci_low:.2f} to {row.ci_high:.2f}"
        say(
            f"{label:<22} {row.policy:<14} {row.success_rate:.2f}  ({interval})  return {row.mean_return:.2f}"
        )
