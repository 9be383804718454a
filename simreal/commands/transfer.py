"""`collect`, `adapt`, `methods`: target data, and what is made of it."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from policies import PolicyBundle
from simreal import adapt as adapting
from simreal.bundles import load_bundle
from simreal.collect import collect, collect_frames
from simreal.commands.common import Common
from simreal.data.importing.convert import convert
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.errors import SimrealError
from simreal.guarded import guarded, rivals
from simreal.presets import PRESETS, Preset
from simreal.progress import say
from simreal.reading import load_yaml, mapping, number
from simreal.targets import Target, check_spaces, parse_target
from simreal.transfer import METHODS, RATE_SCALE, EncoderMode, Method, RewardedSteps, method
from simreal.transfer.guard import stages


@dataclass(frozen=True)
class Collect(Common):
    """Demonstrations or unlabelled frames from a target, as a LeRobot dataset v3.0 in OUT/dataset."""

    policy: Path | None = None
    """Bundle that acts: for demonstrations an expert, in a simulated target the teacher of a
    pretraining (runs/run/teacher by default); for unlabelled frames any policy, such as the one to adapt.
    With --from the bundle that the data is for (runs/run/policy by default)."""
    from_: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """A recording to convert instead: a LeRobot dataset v2.1 or v3.0, a ROS 2 bag, or a folder of images."""
    map: Path | None = None
    """YAML, with --from: which of its fields is which, in which unit; the policy's own names by default."""
    target: str = "workshop"
    """A domain, `domain@severity`, or a domain file."""
    demos: int = 10
    """Successful demonstrations to record."""
    frames: int | None = None
    """Unlabelled frames to record instead, failures included."""
    noise: float = 0.0
    """Deviation of the noise on the actions that show unlabelled frames, in action units."""

    def work(self) -> dict[str, Any]:
        """Record, or convert."""
        if self.from_ is not None:
            return self._converted(self.from_)
        if self.map is not None:
            raise SimrealError(f"--map {self.map}: says what a recording holds: give one with --from PATH")
        bundle = load_bundle(self.policy or Path("runs/run/teacher"))
        target = parse_target(self.target, bundle.manifest.env_id)
        path = self.folder() / "dataset"
        if self.frames is not None:
            collect_frames(bundle, target, self.frames, self.seed, path, self.overwrite, self.noise)
            say(f"{self.frames} unlabelled frames: {path}")
            return {"dataset": path, "demonstrations": 0, "frames": self.frames}
        frames = collect(bundle, target, self.demos, self.seed, path, self.overwrite)
        say(f"{self.demos} demonstrations, {frames} frames: {path}")
        return {"dataset": path, "demonstrations": self.demos, "frames": frames}

    def _converted(self, recording: Path) -> dict[str, Any]:
        bundle, path = load_bundle(self.policy or Path("runs/run/policy")), self.folder() / "dataset"
        made = convert(recording, self.map, bundle.manifest, path, self.overwrite)
        for note in made.left_out:
            say(note)
        say(f"{made.episodes} episodes, {made.successes} of them successes, {made.frames} frames: {path}")
        return {
            "dataset": path,
            "demonstrations": made.successes,
            "frames": made.frames,
            "left_out": made.left_out,
        }


@dataclass(frozen=True)
class Adapt(Common):
    """Bundle + target data + method -> adapted bundle in OUT/policy."""

    policy: Path = Path("runs/run/policy")
    """Bundle to adapt; it is never changed."""
    demos: str = "10"
    """A LeRobot dataset with demonstrations of the target, or how many to record in a simulated one;
    not looked at by a method that needs none."""
    frames: str | None = None
    """A LeRobot dataset of the target whose actions nobody vouches for, or how many frames the policy
    is to record in a simulated one."""
    target: str | None = None
    """Where they are recorded, if only their number is given, and rewarded steps are taken: workshop by
    default. Beside data that was recorded before, --guard needs it named."""
    teacher: Path = Path("runs/run/teacher")
    """Bundle of the expert that records demonstrations."""
    method: str = "cotrain"
    """Transfer method; see `simreal methods`."""
    source: Path | None = None
    """Pretraining run whose source data a method needs."""
    steps: int | None = None
    """Rewarded steps in --target, for a method that needs them."""
    encoder: EncoderMode = "frozen"
    """How a method that learns from rewards treats the encoder."""
    settings: Path | None = None
    """JSON or YAML with numbers of the method, such as scripts/tune_methods.py finds; its own by default."""
    preset: Preset = "default"
    """How many updates."""
    guard: int | None = None
    """Scored rollouts to spend in --target: the adapted policy is returned unless they speak against it, else
    the better of the source and, where there are demonstrations, a policy trained on these alone."""
    products: ClassVar[tuple[str, ...]] = ("policy",)

    def work(self) -> dict[str, Any]:
        """Adapt."""
        needs = method(self.method).needs
        self._check_options(needs)
        settings = {} if self.settings is None else _settings(self.settings, method(self.method))
        if self.guard is not None:
            self._check_guard(self.guard)
        method(self.method).refuse_without(
            {
                "demonstrations": self.demos,
                "source data": self.source,
                "unlabelled frames": self.frames,
                "rewarded steps": self.steps,
            }
        )
        bundle, path = load_bundle(self.policy, "--policy"), self.folder() / "policy"
        if path.resolve() == self.policy.resolve():
            raise SimrealError(f"{path} is the bundle being adapted: choose another --out")
        target = self._target(bundle)
        if self.guard is not None:
            check_spaces(target, bundle.manifest)
        given = adapting.Given(
            self._demonstrations(target) if "demonstrations" in needs else None,
            self._frames(bundle, target) if "unlabelled frames" in needs else None,
            self.source,
            self._rewarded(bundle, target) if "rewarded steps" in needs else None,
            self.encoder,
            PRESETS[self.preset].updates,
            settings,
        )
        started = time.perf_counter()
        adapted = adapting.adapt(bundle, self.method, given, self.seed)
        told: dict[str, Any] = {"adapt_seconds": round(time.perf_counter() - started, 3)}
        if self.guard is not None:
            started = time.perf_counter()
            most = PRESETS[self.preset].tuning_updates
            adapted, record = guarded(adapted, bundle, given, target, self.guard, most, self.seed)
            told |= {"guard": record, "guard_seconds": round(time.perf_counter() - started, 3)}
            for text in record.sentences():
                say(text)
            say(f"{record.chosen} is returned; the guard took {told['guard_seconds']:.0f} s")
        adapted.save(path, overwrite=self.overwrite)
        say(f"bundle: {path}")
        return {"policy": path, "method": self.method, **told}

    def _check_options(self, needs: tuple[str, ...]) -> None:
        """Refuse numbers that cannot be, and options without effect, since these would hide a mistake."""
        for name, text in (("--demos", self.demos), ("--frames", self.frames)):
            if text is not None:
                _count(name, text)
        encoder = None if self.encoder == "frozen" else self.encoder
        for option, value, need in (
            ("steps", self.steps, "rewarded steps"),
            ("encoder", encoder, "rewarded steps"),
            ("frames", self.frames, "unlabelled frames"),
        ):
            if value is not None and need not in needs:
                what = " and ".join(needs) or "nothing"
                raise SimrealError(
                    f"--{option} {value}: is for methods that need {need}; {self.method!r} needs {what}"
                )

    def _target(self, bundle: PolicyBundle) -> Target:
        return parse_target(self.target or "workshop", bundle.manifest.env_id)

    def _check_guard(self, rollouts: int) -> None:
        """Refuse a guard that cannot be, before anything is recorded or trained.

        Raises:
            SimrealError: for too few rollouts, or where nobody says in which target they run.
        """
        stages(rollouts, rivals(self.method))
        needs = method(self.method).needs
        given = {"demonstrations": self.demos, "unlabelled frames": self.frames}
        recorded = [text for need, text in given.items() if need in needs and text and not text.isdecimal()]
        if self.target is not None and (Path(self.target) / "meta" / "info.json").is_file():
            what = f"--target {self.target} is recorded data"
        elif self.target is None and recorded:
            what = f"{recorded[0]} is recorded data"
        elif self.target is None and not {*given, "rewarded steps"} & set(needs):
            what = f"method {self.method!r} is given nothing of a target"
        else:
            return
        raise SimrealError(
            f"--guard {rollouts}: {what}, and scored rollouts need a target that runs: give --target, "
            "a domain, a domain file, a Gymnasium id or module:factory"
        )

    def _demonstrations(self, target: Target) -> LeRobotDataset:
        """Return the demonstrations to adapt to, recorded now if only their number was given."""
        count = _count("--demos", self.demos)
        if count is None:
            return LeRobotDataset(Path(self.demos))
        path, teacher = self.folder() / "dataset", load_bundle(self.teacher, "--teacher")
        collect(teacher, target, count, self.seed, path, self.overwrite)
        return LeRobotDataset(path)

    def _frames(self, bundle: PolicyBundle, target: Target) -> LeRobotDataset | None:
        """Return the unlabelled frames, recorded now by the policy if only their number was given."""
        if self.frames is None:
            return None
        count = _count("--frames", self.frames)
        if count is None:
            return LeRobotDataset(Path(self.frames))
        path = self.folder() / "frames"
        collect_frames(bundle, target, count, self.seed, path, self.overwrite)
        return LeRobotDataset(path)

    def _rewarded(self, bundle: PolicyBundle, target: Target) -> RewardedSteps | None:
        """Return the target that pays rewards, if steps in it are granted."""
        if self.steps is None:
            return None
        check_spaces(target, bundle.manifest)
        return RewardedSteps(target, self.steps)


def _settings(path: Path, chosen: Method) -> dict[str, float]:
    raw = mapping(path, load_yaml(path, "settings"), "", (*chosen.settings(), RATE_SCALE))
    settings = {name: number(path, value, name) for name, value in raw.items()}
    try:
        chosen.with_settings(settings)
    except SimrealError as error:
        raise SimrealError(f"{path}: {error}") from None
    return settings


def _count(option: str, text: str) -> int | None:
    """Return how many are to be recorded; None if the text is a path.

    Raises:
        SimrealError: for a number below 1.
    """
    try:
        count = int(text)
    except ValueError:
        return None
    if count < 1:
        raise SimrealError(f"{option} {text}: must be at least 1, or a dataset")
    return count


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
        print("\n".join(_by_family([row | {"needs": " + ".join(row["needs"])} for row in rows])))


def _by_family(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table of methods, those of a family under its name."""
    columns = ("id", "setting", "needs", "adapts", "paper")
    widths = [max(len(row[name]) for row in rows) for name in columns]
    for family, own in itertools.groupby(rows, key=lambda row: row["family"]):
        yield str(family)
        for row in own:
            cells = [row[name].ljust(width) for name, width in zip(columns, widths, strict=True)]
            yield "  ".join(["", *cells]).rstrip()
