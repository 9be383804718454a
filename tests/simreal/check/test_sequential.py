import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.check import run as checking
from simreal.check.candidates import Trained
from simreal.check.request import CheckRequest
from simreal.check.run import check
from simreal.check.sequential import Look, Plan, Sequential, nominal_levels, settled
from simreal.check.target_only import Tuned
from simreal.check.tuning import Settings
from simreal.check.verdict import compare_all, reach
from simreal.rollout import EpisodeSummary
from simreal.targets import parse_target


def test_bounds_are_those_of_the_tables() -> None:
    """Five equal looks, two-sided 5%, as programs for group-sequential designs print them."""
    levels = nominal_levels((1, 2, 3, 4, 5), 0.05, 5)
    assert stats.norm.isf(np.array(levels) / 2) == pytest.approx(
        [4.877, 3.357, 2.680, 2.290, 2.031], abs=2e-3
    )


def test_the_level_is_spent_and_no_more() -> None:
    """Of 200,000 Brownian motions a one-sided 2.5% cross the bound at some look."""
    looks = Plan.of_budget(20).looks
    bounds = stats.norm.isf(np.array(nominal_levels(looks, 0.05, 20)) / 2)
    paths = np.random.default_rng(0).normal(size=(200_000, 20)).cumsum(axis=1)
    scores = paths[:, np.array(looks) - 1] / np.sqrt(looks)
    assert np.mean((scores > bounds).any(axis=1)) == pytest.approx(0.025, abs=0.0011)  # three standard errors


def test_a_plan_starts_at_six_seeds_and_ends_with_the_budget() -> None:
    assert Plan.of_budget(11).looks == (6, 8, 10, 11)
    assert Plan.of_budget(6).looks == (6,)
    assert Plan.of_budget(2).looks == (2,)
    assert Look(Plan.of_budget(6), 6).nominal(0.05) == pytest.approx(0.05)  # one look costs nothing


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-6, 0.999), st.integers(7, 30))
def test_a_repeated_p_value_is_where_the_look_becomes_significant(p_value: float, budget: int) -> None:
    plan = Plan.of_budget(budget)
    look = Look(plan, plan.looks[len(plan.looks) // 2])
    repeated = look.repeated_p(p_value)
    assert p_value <= repeated <= 1
    if repeated < 1:
        assert look.nominal(min(1 - 1e-9, repeated * 1.001)) >= p_value >= look.nominal(repeated * 0.999)


def test_p_value_and_interval_tell_the_same_story_at_a_look() -> None:
    """Ten seeds of twenty: p = 0.002 is tested at 0.003, and the interval is wider than one of 95%."""
    rates = {"a": [0.8] * 9 + [0.81], "b": [0.5] * 10}
    look = Look(Plan.of_budget(20), 10)
    (found,) = compare_all(rates, ("a", "b"), [], 50, look=look)
    (plain,) = compare_all(rates, ("a", "b"), [], 50)
    assert plain.p_value < found.p_value <= 0.05
    assert found.verdict == "positive"
    assert found.ci_low < plain.ci_low
    early = {name: values[:8] for name, values in rates.items()}
    (found,) = compare_all(early, ("a", "b"), [], 50, look=Look(Plan.of_budget(20), 8))
    assert found.verdict == "safe"  # no eight signs are worth 0.0008
    assert reach(8, 1, Look(Plan.of_budget(20), 8)) is not None


def test_settled() -> None:
    assert settled("negative", -0.1, 0.05)
    assert settled("positive", 0.4, 0.05)
    assert settled("safe", 0.04, 0.05)
    assert not settled("safe", 0.2, 0.05)  # may yet be positive
    assert not settled("inconclusive", 0.04, 0.05)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, untrained) -> list[tuple[str, int]]:
    """What is trained, of candidates that differ as little or as much as their target-only is told to."""
    jobs: list[tuple[str, int]] = []

    def pretend(shared, name: str, seed: int, tuned):
        jobs.append((name, seed))
        noise = np.random.default_rng([seed, len(name)]).normal(0, 0.1)
        better = 0.8 if name == "finetune" else shared.demos / 100
        successes = round(1000 * float(np.clip(better + noise, 0, 1)))
        episodes = [EpisodeSummary(0, number < successes, 1, 0.0) for number in range(1000)]
        return Trained(checking.pack(untrained), 10 * (name != "zero-shot"), episodes, 1.0)

    class Done:
        def __init__(self, value) -> None:
            self.result = lambda: value

    monkeypatch.setattr(checking.workers, "submit", lambda function, *given: Done(pretend(*given)))
    settings = Settings(Tuned(1e-3, 10, 0.1), {}, 6)
    monkeypatch.setattr(checking, "search", lambda *given: settings)
    return jobs


@pytest.fixture
def untrained():
    encoder = EncoderConfig("state", image_shape=None, feature_size=4, hidden=(4,))
    return Policy(PolicyConfig(encoder, HeadConfig(hidden=())))


def request(policy, percent: int, **settings: object) -> CheckRequest:
    """Return a request of twenty seeds whose target-only succeeds in so many percent."""
    target = parse_target("blur@1", "simreal/PandaReach-v0")
    return CheckRequest(
        target, policy, policy, None, target.domain, ("finetune",), percent, 20, 50, 10, 10, 0, **settings
    )


def test_seeds_are_added_until_the_verdict_is_settled(trained, untrained, tmp_path: Path) -> None:
    result, details = check(request(untrained, 20, sequential=True), tmp_path / "check.json")
    assert result.sequential == Sequential(result.sequential.method, (6, 8, 10), 20, 10)
    assert result.seeds == 10
    assert all(len(rates) == 10 for rates in result.candidates.values())
    assert result.comparisons[0].verdict == "positive"
    assert details.sentences[-1].startswith("10 of 20 seeds saved, after 3 looks")
    assert len(trained) == len(set(trained)) == 4 * 10  # nothing twice
    trained.clear()
    again, _ = check(request(untrained, 20, sequential=True), tmp_path / "check.json", resume=True)
    assert again == result
    assert trained == [("finetune", 0)]  # whose policy is kept nowhere
    assert not [text for text in details.sentences if "another look" in text]


def test_a_second_look_at_the_same_trainings_says_so(trained, untrained, tmp_path: Path) -> None:
    plain = request(untrained, 80)
    few = dataclasses.replace(plain, seeds=8)
    _, details = check(few, tmp_path / "check.json")
    assert not [text for text in details.sentences if "another look" in text]
    _, details = check(plain, tmp_path / "check.json", resume=True)  # it was inconclusive, so more seeds
    assert [text for text in details.sentences if "(finetune with 8 seeds): this is another look" in text]
    sequential = dataclasses.replace(plain, sequential=True)
    _, details = check(sequential, tmp_path / "check.json", resume=True)
    assert [text for text in details.sentences if "finetune with 8 seeds, finetune with 20 seeds" in text]


def test_the_budget_is_the_end(trained, untrained) -> None:
    result, details = check(request(untrained, 80, sequential=True))
    assert result.seeds == 20
    assert result.sequential.seeds_saved == 0
    assert result.comparisons[0].verdict in ("safe", "inconclusive")
    assert details.sentences[-1].startswith("0 of 20 seeds saved, after 8 looks")


def test_a_check_that_is_not_sequential_uses_all_seeds(trained, untrained) -> None:
    result, _ = check(request(untrained, 20))
    assert (result.seeds, result.sequential) == (20, None)
    (plain, *_) = compare_all(result.candidates, ("finetune", "target-only"), [], 50)
    assert result.comparisons[0] == plain
