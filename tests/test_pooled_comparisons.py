"""The check, calibrated on a pool of policies: comparisons drawn from successes that are made up here."""

import re

import numpy as np
import pooled_comparisons as script
import pytest
from rliable import metrics

from simreal.check.bootstrap import interquartile_mean, probability_of_improvement
from simreal.errors import SimrealError

DRAWS = script.Draws(comparisons=3000)
DOMAINS, CANDIDATES = ("blur@3", "glare@3"), ("finetune", "head-only")


def pool(better: float = 0.0) -> script.Pool:
    rng = np.random.default_rng(0)
    rates = np.clip(rng.normal(0.6, 0.1, (2, 2, 40)) + np.array([better, 0])[:, None], 0, 1)
    return {name: tuple(rng.binomial(50, rates[at])) for at, name in enumerate(("blur@3", "glare@3"))}


def percent(text: str) -> float:
    return float(re.match(r"-?[\d.]+", text)[0])


def test_false_verdicts_are_as_rare_as_they_should_be() -> None:
    for row in script.errors(pool(0.1), DRAWS, np.random.default_rng(0)):
        for name in ("", "paired: "):
            assert 1.3 < percent(row[f"{name}false negative"]) < 3.7, row
            assert percent(row[f"{name}false positive"]) < 3.7, row
            assert 1.3 < percent(row[f"{name}false safe"]) < 3.7, row
            assert 93.5 < percent(row[f"{name}interval holds 0"]) < 96.5, row


def test_seeds_that_fail_now_and_then_show_in_paired_differences() -> None:
    """Planted: a candidate of which one seed in ten fails, beside a steady baseline."""
    rng = np.random.default_rng(0)
    ours, theirs = np.where(np.arange(60) % 10 == 0, 25, 49), rng.binomial(50, 0.9, 60)
    rows = script.errors({"blur@3": (ours, theirs)}, DRAWS, rng)
    assert all(percent(row["paired: false positive"]) > 5 for row in rows if row["seeds"] >= 8)
    assert all(percent(row["false positive"]) < 3.7 for row in rows)


def test_a_rule_that_is_wrong_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: intervals that are a third too narrow, as of a normal distribution that was not corrected."""
    right = script.verdicts

    def hasty(wins: np.ndarray, episodes: int) -> object:
        return right(wins, episodes, level=0.2)

    monkeypatch.setattr(script, "verdicts", hasty)
    rows = script.errors(pool(), DRAWS, np.random.default_rng(0))
    assert all(percent(row["false negative"]) > 5 and percent(row["false safe"]) > 5 for row in rows)


def test_a_true_difference_is_found_as_often_as_theory_has_it() -> None:
    rows = script.power(pool(0.1), DRAWS, np.random.default_rng(0))
    assert len(rows) == 2 * len(script.SEEDS)
    for row in rows:
        assert row["difference"].startswith("+"), row
        if row["seeds"] >= 10:  # with fewer the sign-flip test costs power
            assert abs(percent(row["found"]) - 100 * row["theory"]) < 6, row
        assert 93 < percent(row["interval holds it"]) < 97, row


def test_what_is_taken_away_is_the_margin() -> None:
    rng, wins = np.random.default_rng(0), np.full((4, 50_000), 30)
    less = script.thinned(wins, 30.0, 50, rng)
    assert less.mean() / 50 == pytest.approx(30 / 50 - script.MARGIN, abs=0.001)
    with pytest.raises(ValueError, match="p < 0"):
        script.thinned(wins, 1.0, 50, rng)
    few = {"blur@3": (np.ones(60, int), np.ones(60, int))}  # 2% succeed: nothing is worse by five points
    assert script.errors(few, DRAWS, rng)[0]["false safe"] == ""


def test_rounding_changes_no_mean() -> None:
    values = np.linspace(-3, 3, 7)[:, None] + np.zeros(20_000) + 0.3
    found = script.rounded(values, np.random.default_rng(0))
    assert found.mean(axis=1) == pytest.approx(values[:, 0], abs=0.02)
    assert np.abs(found - values).max() < 1


def test_robust_figures_are_rliable_s() -> None:
    ours, theirs = (wins[: script.SHOWN] / 50 for wins in pool(0.1)["blur@3"])
    assert interquartile_mean(ours - theirs) == pytest.approx(metrics.aggregate_iqm((ours - theirs)[:, None]))
    chance = metrics.probability_of_improvement(ours[:, None], theirs[:, None])
    assert probability_of_improvement(list(ours), list(theirs)) == pytest.approx(chance)
    for row in script.beside_rliable(pool(0.1), 50):
        assert row["interquartile mean"].split()[0] == row["rliable's"].split()[0]
        assert row["probability of improvement"].split()[0] == row["rliable's probability"].split()[0]


def test_only_whole_seeds_are_pooled() -> None:
    rows = [
        {"domain": domain, "severity": 3, "candidate": candidate, "seed": seed, "successes": [True] * seed}
        for domain in ("blur", "glare")
        for candidate in CANDIDATES
        for seed in range(4)
    ]
    found = script.pooled(rows[:-1], DOMAINS, CANDIDATES, 40)
    assert [side.tolist() for side in found["glare@3"]] == [[0, 1, 2], [0, 1, 2]]
    with pytest.raises(SimrealError, match="1 whole training seeds of 40"):
        script.pooled([row for row in rows if row["seed"] == 2], DOMAINS, CANDIDATES, 40)
