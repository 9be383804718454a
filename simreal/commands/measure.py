"""`evaluate`, `check`: what a policy is worth on a target."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal import evaluate as evaluating
from simreal.bundles import load_bundle
from simreal.check.goals import draw_goals
from simreal.check.outcomes import read_outcomes
from simreal.check.request import CheckRequest
from simreal.check.rollouts import primary_pair
from simreal.check.rollouts_report import report
from simreal.check.run import check
from simreal.check.spending import used
from simreal.check.step import MOST
from simreal.check.trial_sheet import plan_trials, read_conditions
from simreal.check.verdict import MARGIN
from simreal.commands.common import Common
from simreal.errors import SimrealError, at_least
from simreal.presets import PRESETS, Preset
from simreal.pretrain.cost import source_cost
from simreal.progress import say
from simreal.results import EvaluationRow
from simreal.targets import check_spaces, expand, label_of, parse_target


@dataclass(frozen=True)
class Evaluate(Common):
    """Bundle x domains x severities -> success, return, intervals."""

    policy: tuple[Path, ...] = (Path("runs/run/policy"),)
    """Bundles; all get the same episodes."""
    target: tuple[str, ...] = ("suite",)
    """Targets; `suite` stands for every named target."""
    severity: tuple[int, ...] = (3,)
    """1 to 5, of targets that name none."""
    episodes: int = 100
    """Episodes for each policy in each target."""

    def work(self) -> dict[str, Any]:
        """Evaluate, and print a table."""
        at_least(1, episodes=self.episodes)
        bundles = {str(path): load_bundle(path, "--policy") for path in self.policy}
        first = next(iter(bundles.values()))
        targets = list(expand(self.target, self.severity, first.manifest.env_id))
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
    """Candidates x training seeds on one target, or scored rollouts of a robot -> verdicts."""

    policy: Path = Path("runs/run/policy")
    """Bundle of the source policy."""
    teacher: Path = Path("runs/run/teacher")
    """Bundle of the expert that records demonstrations."""
    source: Path | None = None
    """Pretraining run whose source data a method needs."""
    target: str = "workshop"
    """A domain, `domain@severity`, or a domain file."""
    method: tuple[str, ...] = ("cotrain", "finetune")
    """Candidates beside zero-shot and target-only; the first is the primary one. What does not learn from
    demonstrations is compared with zero-shot alone."""
    preset: Preset = "default"
    """How much work, where the following do not say."""
    demos: int | None = None
    """Demonstrations for each training seed."""
    frames: int = 0
    """Unlabelled frames for each training seed, for methods that need some."""
    seeds: int | None = None
    """Training seeds; a verdict needs six."""
    sequential: bool = False
    """Look at six seeds and at every second from there, and stop when the primary verdict is settled;
    `--seeds` is then the most. Error rates hold under looking."""
    episodes: int | None = None
    """Episodes for each candidate and seed."""
    resume: bool = False
    """Go on with an interrupted check in the same folder."""
    outcomes: Path | None = None
    """Scored rollouts to judge: a trial sheet, what `deploy --outcomes` wrote, or a table (CSV or parquet)
    with policy or label, outcome, score or reward, and perhaps block."""
    key: Path | None = None
    """JSON of label -> policy for blinded outcomes."""
    threshold: float | None = None
    """Scores, or sums of rewards, from here on are successes."""
    margin: float | None = None
    """How much worse is still `safe`, for --outcomes; 0.05 by default."""
    candidate: str | None = None
    """Of the primary comparison of --outcomes."""
    baseline: str | None = None
    """What the candidates of --outcomes are compared with."""
    rollouts: int | None = None
    """The most rollouts of each policy there will be, declared before the first, for --outcomes; those of the
    trial sheet by default. 0 for no such number: it takes more rollouts, and may go on for ever."""
    plan: int | None = None
    """Write a randomized, blinded trial sheet with so many rollouts of each of --policies. It is drawn anew
    each time; a --seed other than 0 draws the same again."""
    policies: tuple[str, ...] = ()
    """Names of the policies that --plan will have run."""
    conditions: tuple[str, ...] = ()
    """Initial conditions for --plan: names, or a CSV file with a column `condition`. Without any, goals are
    drawn where the task of --policy and --target puts them."""

    def work(self) -> dict[str, Any]:
        """Check, and print every verdict."""
        self._check_options()
        if self.plan is not None:
            return self._plan(self.plan)
        if self.outcomes is not None:
            return self._judge(self.outcomes)
        return self._train()

    def _check_options(self) -> None:
        """Refuse options that would have no effect, since that would hide a mistake."""
        if self.plan is not None and self.outcomes is not None:
            raise SimrealError("--plan comes before the rollouts and --outcomes after them: give one of them")
        of_outcomes, of_plan = (
            ("key", "threshold", "margin", "candidate", "baseline", "rollouts"),
            ("policies", "conditions"),
        )
        for option, names in (("outcomes", of_outcomes), ("plan", of_plan)):
            given = [name for name in names if getattr(self, name) not in (None, ())]
            if given and getattr(self, option) is None:
                raise SimrealError(f"--{given[0]} is an option of `check --{option}`: add --{option}")

    def _plan(self, blocks: int) -> dict[str, Any]:
        conditions = read_conditions(self.conditions) if self.conditions else self._draw_goals
        # Not from the default seed: with it anybody who knows the names knows the labels.
        seed = self.seed or secrets.randbits(31)
        sheet = plan_trials(blocks, self.policies, conditions, seed)
        path, key = sheet.write(self.folder(), self.overwrite)
        say(f"{path}: {len(sheet.rows)} rollouts in {blocks} blocks, to be run in this order and filled in.")
        say(f"{key}: which label is which policy; not for who scores.")
        found = {"blocks": blocks, "policies": sorted(self.policies), "sheet": str(path), "key": str(key)}
        return {"plan": found}

    def _draw_goals(self, episodes: Sequence[int]) -> list[dict[str, str]]:
        try:
            env_id = load_bundle(self.policy).manifest.env_id
        except SimrealError as error:
            raise SimrealError(f"{error}; a plan draws goals for a --policy, or takes --conditions") from None
        return draw_goals(parse_target(self.target, env_id), episodes)

    def _judge(self, path: Path) -> dict[str, Any]:
        margin = MARGIN if self.margin is None else self.margin
        if not 0 <= margin < 1:
            raise SimrealError(f"--margin {margin:g}: must be from 0 to below 1")
        if self.rollouts is not None and not 0 <= self.rollouts <= MOST:
            raise SimrealError(f"--rollouts {self.rollouts}: must be from 0 to {MOST}; 0 for no such number")
        outcomes = read_outcomes(path, self.key, self.threshold)
        pair = primary_pair(outcomes.policies, self.candidate, self.baseline)
        found, sentences = report(outcomes, pair, margin, self.seed, self.rollouts)
        for text in sentences:
            say(text)
        return {"outcomes": found, "sentences": sentences}

    def _train(self) -> dict[str, Any]:
        at_least(1, demos=self.demos, seeds=self.seeds, episodes=self.episodes)
        at_least(0, frames=self.frames)
        bundle = load_bundle(self.policy, "--policy")
        teacher = load_bundle(self.teacher, "--teacher")
        target = parse_target(self.target, bundle.manifest.env_id)
        check_spaces(target, bundle.manifest)
        request = CheckRequest.of(
            bundle,
            teacher.policy,
            target,
            self.method,
            PRESETS[self.preset],
            run=self.source,
            demos=self.demos,
            seeds=self.seeds,
            episodes=self.episodes,
            seed=self.seed,
            frames=self.frames,
            sequential=self.sequential,
            source_cost=source_cost(self.policy.resolve().parent) or source_cost(self.source),
        )
        result, details = check(request, self.folder() / "check.json", self.resume)
        for text in [*used(result.spending.spent), *details.sentences]:
            say(text)
        return {"check": result, "sentences": details.sentences, "settings": details.settings}


def _show(rows: list[EvaluationRow]) -> None:
    for row in rows:
        label = label_of(row.domain, row.severity)
        interval = f"{row.ci_low:.2f} to {row.ci_high:.2f}"
        say(
            f"{label:<22} {row.policy:<14} {row.success_rate:.2f}  ({interval})  return {row.mean_return:.2f}"
        )
