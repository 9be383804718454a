"""The search of settings: as much for every candidate, and on no seed that is reported."""

import dataclasses
from collections import defaultdict
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simreal import workers
from simreal.bundles import load_bundle
from simreal.check import candidates
from simreal.check.finished import Finished
from simreal.check.request import CheckRequest
from simreal.check.run import check
from simreal.check.target_only import Tuned
from simreal.check.tuning import Scaled, Settings, choose, search, settings_text, tuned_names
from simreal.errors import SimrealError
from simreal.presets import PRESETS
from simreal.targets import parse_target


def test_every_candidate_that_has_labels_gets_as_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, float, int]] = []

    def submit(function: Any, shared: Any, name: str, rate: float, seed: int) -> "Future[Any]":
        tried.append((name, rate, seed))
        future: Future[Any] = Future()
        loss = abs(rate - 3.0) + 0.1 * seed
        future.set_result(Tuned(rate, 10, loss) if name == "target-only" else Scaled(rate, loss))
        return future

    monkeypatch.setattr(workers, "submit", submit)
    methods = ("cotrain", "cotrain#2", "color-match", "bayes-head", "pseudo-label", "ppo")
    found = search(None, methods, Finished(None, {}, resume=False))  # type: ignore[arg-type]
    names = [name for name, *_ in tried]
    assert {name: names.count(name) for name in names} == dict.fromkeys(
        ("target-only", "cotrain", "bayes-head", "pseudo-label"), 6
    )
    assert len(set(tried)) == len(tried)  # none twice
    assert {name: each.rate_scale for name, each in found.methods.items()} == dict.fromkeys(
        ("cotrain", "bayes-head", "pseudo-label"), 3.0
    )
    trials = [
        found.trials_of(name) for name in ("target-only", "cotrain#2", "color-match", "ppo", "zero-shot")
    ]
    assert trials == [6, 6, 0, 0, 0]


def test_the_lowest_mean_loss_is_chosen_and_of_equals_the_method_as_it_is() -> None:
    losses = {1.0: (0.3, 0.3), 0.3: (0.1, 0.6), 3.0: (0.2, 0.25)}
    trials = [Scaled(scale, loss) for scale, found in losses.items() for loss in found]
    assert choose(trials) == Scaled(3.0, pytest.approx(0.225))
    assert choose([Scaled(scale, 0.5) for scale in (1.0, 0.3, 3.0)]).rate_scale == 1.0  # type: ignore[union-attr]


def test_settings_reach_the_jobs_of_a_candidate_and_of_its_copies() -> None:
    shared = candidates.Shared(None, None, None, None, None, 1, 1, 1, 1, 0)  # type: ignore[arg-type]
    settings = Settings(Tuned(1e-3, 10, 0.1), {"cotrain": Scaled(3.0, 0.1), "finetune": Scaled(1.0, 0.1)}, 6)
    given = {name: settings.of(name, shared).settings for name in ("cotrain#2", "finetune", "target-only")}
    assert given == {"cotrain#2": '{"rate_scale": 3.0}', "finetune": "", "target-only": ""}
    assert settings_text(Scaled(1.0, 0.2)) == ""  # the name that such a cell always had
    assert tuned_names(("coral",)) == ("target-only",)


def test_a_check_tunes_on_seeds_that_it_does_not_report(
    smoke_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every episode of a whole check: those of tuning are in no training, those of training judge nothing."""
    recorded: dict[str, set[int]] = defaultdict(set)
    firsts: list[int] = []
    judged: list[tuple[int, ...]] = []
    taught: dict[int, list[bytes]] = defaultdict(list)
    demonstrate, run_episodes = candidates.demonstrate, candidates.run_episodes
    demonstrations = candidates.demonstrations

    def noted(env: Any, teacher: Any, count: int, first: int, options: Any) -> Any:
        firsts.append(first)
        recorded[candidates.Purpose(first >> 40).name] |= set(range(first, first + 1000))
        return demonstrate(env, teacher, count, first, options)

    def watched(policy: Any, target: Any, seeds: Any) -> Any:
        judged.append(tuple(seeds))
        return run_episodes(policy, target, seeds)

    def same(shared: Any, seed: int, purpose: Any) -> Any:
        data = demonstrations(shared, seed, purpose)
        if purpose == candidates.Purpose.DEMONSTRATION:
            taught[seed].append(np.asarray(data.actions).tobytes())
        return data

    monkeypatch.setattr(workers, "_here", True)  # in this process, where it is noted
    for name, wrapped in (("demonstrate", noted), ("run_episodes", watched), ("demonstrations", same)):
        monkeypatch.setattr(candidates, name, wrapped)
    bundle, sizes = load_bundle(smoke_run / "policy"), PRESETS["smoke"]
    target = parse_target("blur@1", bundle.manifest.env_id)
    teacher = load_bundle(smoke_run / "teacher").policy
    request = CheckRequest.of(
        bundle, teacher, target, ("finetune",), sizes, run=None, demos=1, seeds=2, episodes=1, seed=3
    )
    result, _ = check(dataclasses.replace(request, updates=2, most_updates=2))
    assert result.budget.tuning_demonstrations == 2
    assert {
        each.trials for each in (result.spending.spent[name] for name in ("finetune", "target-only"))
    } == {6}
    assert set(recorded) == {"DEMONSTRATION", "TUNING_DEMONSTRATION"}
    episodes = [recorded["DEMONSTRATION"], recorded["TUNING_DEMONSTRATION"], set().union(*map(set, judged))]
    assert sum(map(len, episodes)) == len(set().union(*episodes))
    # Paired: for each training seed all four candidates had the same episodes, and the same demonstrations.
    assert sorted(judged.count(seeds) for seeds in set(judged)) == [4, 4]
    assert {seed: (len(found), len(set(found))) for seed, found in taught.items()} == {0: (4, 1), 1: (4, 1)}
    assert len(firsts) == len(set(firsts)) == 4  # two training seeds, two of tuning: each recorded once


@pytest.mark.parametrize("seed", [900, 905, 999])
def test_a_run_of_tuning_is_not_reported(seed: int) -> None:
    with pytest.raises(SimrealError, match=f"--seed {seed}: 900 to 999 are for tuning"):
        candidates.check_seeds(seed, 8)
    candidates.check_seeds(899, 8)
    candidates.check_seeds(1000, 8)
