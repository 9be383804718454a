"""The page of a study: what is drawn beside what, and what the table says."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from simreal.check.verdict import compare_all, reach, sentence
from simreal.report import build, study_page
from simreal.results import to_plain, write_result
from simreal.study.conclusions import Compared
from simreal.study.plan import Budget
from simreal.study.run import StudyResult

RATES = {"zero-shot": 0.4, "target-only": 0.2, "finetune": 0.6, "color-match": 0.5, "ppo": 0.7}


def place(severity: int, budget: Budget, *names: str, domain: str = "blur", off: float = 0.0) -> Compared:
    success = {name: [RATES[name] + off + 0.01 * seed for seed in range(6)] for name in names}
    return Compared("p", domain, severity, budget, success, [], [])


def drawn(monkeypatch: pytest.MonkeyPatch, found: list[Compared]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return titles of the curves, and candidate -> mean at each point, of each."""
    means: list[dict[str, Any]] = []

    def curves(axis: str, points: list[int], success: dict[str, list[list[float]]]) -> bytes:
        means.append(
            {name: [round(at[0], 2) if at else None for at in lists] for name, lists in success.items()}
        )
        return b""

    monkeypatch.setattr(study_page, "curves", curves)
    return [item["title"] for item in study_page._curves([to_plain(item) for item in found])], means


def test_a_curve_over_severity_is_of_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    some, all_of, most = Budget(1, only=("finetune",)), Budget(10), Budget(300, only=("target-only",))
    found = []
    for severity in (1, 3):
        found += [
            place(severity, some, "zero-shot", "finetune", off=-0.1),
            place(severity, all_of, "zero-shot", "target-only", "finetune"),
            place(severity, most, "zero-shot", "target-only", off=0.2),
        ]
    titles, means = drawn(monkeypatch, found)
    assert titles == [
        "Success over severity, with 1 demonstration",
        "Success over severity, with 10 demonstrations",
        "Success over severity, with 300 demonstrations",
        "Success over demonstrations",
    ]
    assert means[0] == {"zero-shot": [0.3, 0.3], "finetune": [0.5, 0.5]}
    assert means[1] == {"zero-shot": [0.4, 0.4], "target-only": [0.2, 0.2], "finetune": [0.6, 0.6]}
    assert means[3]["finetune"] == [0.5, 0.6, None]
    assert means[3]["target-only"] == [None, 0.2, 0.4]


def test_a_target_that_some_lack_is_in_nobodys_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [place(severity, Budget(), "zero-shot", "finetune") for severity in (1, 3)]
    found += [place(1, Budget(), "zero-shot", "finetune", domain="glare", off=-0.2)]
    found += [place(3, Budget(), "zero-shot", domain="glare", off=-0.4)]  # the expert fails there
    _, means = drawn(monkeypatch, found)
    assert means == [{"zero-shot": [0.4, 0.4], "finetune": [0.6, 0.6]}]


def test_rows_of_another_budget_than_target_onlys_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[list[str]] = []
    monkeypatch.setattr(study_page, "heat_map", lambda methods, *others: labels.append(methods) or b"")
    (part,) = study_page._parts([to_plain(place(3, Budget(), *RATES))])
    assert part["title"].endswith("with 10 demonstrations, 500 unlabelled frames, 2,000 rewarded steps")
    assert labels[0] == ["target-only", "finetune", "color-match", "ppo"]
    assert labels[1] == ["zero-shot", "finetune", "color-match (no labels)", "ppo (rewards)"]


def test_the_table_tells_budgets_and_what_stands_beside_the_mean(tmp_path: Path) -> None:
    item = place(3, Budget(), "zero-shot", "target-only", "finetune", "color-match")
    pairs = [("finetune", "zero-shot"), ("color-match", "zero-shot"), ("zero-shot", "target-only")]
    comparisons = compare_all(item.success, ("finetune", "target-only"), pairs, 50)
    beyond = reach(6, 3)
    assert beyond is not None
    item = dataclasses.replace(
        item, comparisons=comparisons, sentences=[*(sentence(each, 6) for each in comparisons), beyond]
    )
    study = StudyResult(1, 1, [item], {"transductive": "zero-shot"}, [], [], 0.75, [])
    write_result(tmp_path / "result.json", "study", 0, 1.0, study=study)
    page = build(tmp_path).read_text()
    assert "p, blur@3: 10 demonstrations, 500 unlabelled frames</th>" in page
    assert page.count("none of these can be positive") == 1
    assert page.count("probability of improvement 1.00 (1.00 to 1.00)") == 4
    assert '<td class="n">+0.40</td><td class="n">1.00</td>' in page
    assert "<td>transductive</td><td>zero-shot</td><td>nothing: the source policy as it is</td>" in page
