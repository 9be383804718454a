"""What the transfer matrix says of its cells, on rows whose answer is known."""

from typing import Any

import matrix_tables
import pytest

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.errors import SimrealError

Rows = list[dict[str, Any]]


def rows(candidate: str, rates: dict[str, float], demos: int = 10, seeds: int = 2) -> Rows:
    return [
        {"candidate": candidate, "domain": domain, "seed": seed, "success_rate": rate, "demos": demos,
         "severity": 3}
        for domain, rate in rates.items()
        for seed in range(seeds)
    ]  # fmt: skip


SCREEN = [
    *rows("finetune", {"easy": 1.0, "hard": 0.6}),
    *rows("cotrain", {"easy": 0.9, "hard": 0.8}),
    *rows("head-only", {"easy": 1.0, "hard": 0.1}),
    *rows("color-match", {"easy": 0.9, "hard": 0.2}),
    *rows("mmd", {"easy": 0.9, "hard": 0.1}),
]


def test_the_best_of_each_kind_are_chosen() -> None:
    assert matrix_tables.choose(SCREEN) == ("cotrain", "finetune", "color-match")


def test_a_part_of_a_method_is_not_chosen_beside_it() -> None:
    parts = [*SCREEN, *rows("match-appearance", {"easy": 1.0, "hard": 0.9})]
    assert matrix_tables.choose(parts)[:2] == ("match-appearance", "cotrain")
    whole = [*parts, *rows("match", {"easy": 1.0, "hard": 0.95})]
    assert matrix_tables.choose(whole)[:2] == ("match", "cotrain")


def test_a_method_that_lacks_cells_is_not_chosen_for_the_easy_ones_it_has() -> None:
    partly = [*SCREEN, *rows("l2-sp", {"easy": 1.0}), *rows("coral", {"easy": 1.0})]
    assert matrix_tables.choose(partly) == ("cotrain", "finetune", "color-match")


def test_a_screen_that_is_too_small_is_one_clear_error() -> None:
    with pytest.raises(SimrealError, match="screen two methods"):
        matrix_tables.choose(rows("finetune", {"easy": 1.0}))


def test_means_are_over_what_every_candidate_has() -> None:
    # Where the expert fails there is no `finetune`: zero-shot's failure there must not make its gain.
    found = [*rows(ZERO_SHOT, {"easy": 0.9, "refused": 0.0}), *rows("finetune", {"easy": 0.8})]
    lines = matrix_tables.confirmed(found)
    assert "| **mean** | **0.90 (0.90-0.90)** | **0.80 (0.80-0.80)** |" in lines
    assert "finetune against zero-shot: -10 (-10 to -10) over 1 domains x 2 seeds" in lines


def test_a_seed_that_has_begun_is_no_seed() -> None:
    begun = {
        "candidate": "finetune",
        "domain": "easy",
        "seed": 2,
        "success_rate": 1.0,
        "demos": 10,
        "severity": 3,
    }
    both = {"easy": 0.9, "hard": 0.1}
    lines = matrix_tables.confirmed([*rows(ZERO_SHOT, both, seeds=3), *rows("finetune", both), begun])
    assert "finetune against zero-shot: +0 (+0 to +0) over 2 domains x 2 seeds" in lines
    assert "means are over 2 domains x 2 seeds" in lines


def test_severities_are_apart() -> None:
    found = rows("finetune", {"easy": 0.9})
    more = [row | {"severity": 5, "success_rate": 0.1} for row in found]
    (header, *_), cells = matrix_tables.screened([*found, *more]), "| 0.90 | 0.10 |"
    assert header.endswith("| easy@3 | easy@5 |")
    assert any(cells in line for line in matrix_tables.screened([*found, *more]))


def test_the_screen_is_a_picture() -> None:
    found = matrix_tables.gains_picture([*SCREEN, *rows(ZERO_SHOT, {"easy": 0.5, "hard": 0.1})])
    assert found.startswith(b"\x89PNG")


@pytest.mark.parametrize("seeds", [1, 3])
def test_curves_are_a_picture(seeds: int) -> None:
    base = [row | {"demos": 0} for row in rows(ZERO_SHOT, {"met": 0.3, "other": 0.2}, seeds=seeds)]
    found = [*rows("finetune", {"met": 0.5}, seeds=seeds), *rows(TARGET_ONLY, {"met": 0.1}, seeds=seeds)]
    assert matrix_tables.curves_picture([*base, *found]).startswith(b"\x89PNG")


def test_no_row_yet_is_an_empty_table() -> None:
    assert matrix_tables.confirmed([])[-1] == "means are over 0 domains x 0 seeds"


def test_demonstrations_saved_are_read_off_the_curve_of_target_only() -> None:
    method = rows("finetune", {"met": 0.5, "never met": 0.9})
    curve = [
        row
        for demos, rate in ((10, 0.1), (100, 0.5), (300, 0.8))
        for row in rows(TARGET_ONLY, {"met": rate, "never met": rate}, demos)
    ]
    lines = matrix_tables.curved([*method, *curve])
    assert any(line.startswith("met: target-only needs 10 times") for line in lines)
    assert any(line.startswith("never met: target-only needs inf times") for line in lines)
