"""What scripts/transferability.py makes of a table, on rows whose answer is known."""

import numpy as np
import pytest
import transferability_tables as tables

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.rank_agreement import judge
from simreal.check.scores import Scores
from simreal.check.source_selection import regret
from simreal.check.trials import Trials


def rows(candidate: str, *rates: tuple[str, int, float]) -> tables.Rows:
    return [
        {"candidate": candidate, "domain": domain, "severity": 3, "seed": seed, "success_rate": rate}
        for domain, seed, rate in rates
    ]


def test_gains_are_paired_by_seed_and_over_the_baselines_that_are_there() -> None:
    found = tables.gains(
        [
            *rows("finetune", ("blur", 0, 0.9), ("blur", 1, 0.7), ("glare", 0, 0.5)),
            *rows(ZERO_SHOT, ("blur", 1, 0.4), ("glare", 0, 0.6)),
            *rows(TARGET_ONLY, ("blur", 0, 0.1)),
            *rows("mmd", ("blur", 0, 0.3)),
        ],
        ["blur@3", "glare@3"],
        ["finetune", "mmd"],
    )
    assert set(found) == {"finetune: success", "finetune: gain over zero-shot"}
    assert found["finetune: success"] == pytest.approx([0.8, 0.5])
    assert found["finetune: gain over zero-shot"] == pytest.approx([0.3, -0.1])


def test_domains_are_those_that_every_method_has() -> None:
    both = [*rows("finetune", ("blur", 0, 1.0), ("glare", 0, 1.0)), *rows("mmd", ("blur", 0, 1.0))]
    both = [row | {"family": "sensing"} for row in both]
    assert tables.domains_of(both, ["finetune", "mmd", "coral"]) == {"blur@3": "sensing"}
    assert set(tables.domains_of(both, ["finetune"])) == {"blur@3", "glare@3"}


def test_the_static_ranking_puts_mild_and_single_shifts_first() -> None:
    families = {"a@5": "appearance", "b@1": "combined", "c@1": "sensing", "d@1": "appearance"}
    ranked = tables.static_ranking(families)
    assert np.argsort(ranked).tolist() == [0, 1, 2, 3]


def test_a_score_that_is_missing_somewhere_is_not_judged() -> None:
    scores = {"blur@3": tables.means([Scores(0.5, 1.0, 2.0, 0.1), Scores(0.7, 2.0, None, 0.3)])}
    assert scores["blur@3"]["h_score"] is None
    promises = tables.promises(scores)
    assert set(promises) == {"a_distance", "logme", "action_error"}
    assert promises["a_distance"] == pytest.approx([-0.6])
    assert promises["logme"] == pytest.approx([1.5])


def test_the_table_says_plainly_what_is_worth_anything() -> None:
    gains, static = [0.1 * k for k in range(8)], [0.0] * 8
    lines = tables.judged(judge({"logme": gains, "a_distance": static}, gains, static, "success"), 3)
    assert lines[-2] == ("success, 8 domains, 3 seeds each: worth something: logme; ranking backwards: none")


def test_each_score_picks_the_source_that_it_promises_most_of() -> None:
    sources = [Scores(0.5, 1.0, None, 0.1), Scores(1.5, 2.0, None, 0.3)]
    trials = Trials([np.array([0.2]), np.array([0.1])], np.array([1.0]), np.array([1.0]))
    assert tables.picked(sources, trials) == {
        "highest promise by a_distance": 0, "highest promise by logme": 1,
        "highest promise by action_error": 0, "least held-out error": 1,
    }  # fmt: skip
    success, without = np.array([[0.9, 0.2], [0.4, 0.6]]), np.array([0.1, 0.8])
    lost = {"oracle": regret(success, without, np.array([0, -1]))}
    assert tables.regrets(lost, {"oracle": [0, -1]}, ["s", "t", "none"])[-1] == (
        "| oracle | 0.0 (0.0 to 0.0) | s, none |"
    )
