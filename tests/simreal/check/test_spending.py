"""What candidates take, and what they save, counted by hand."""

import dataclasses
import json
from pathlib import Path

import pytest

from simreal.check.spending import Kept, Spending, bounds, refuse_unequal, spending, told, used
from simreal.errors import SimrealError
from simreal.pretrain.cost import SourceCost, source_cost

SOURCE = SourceCost(seconds=300.0, steps=60_000)


def kept(*success: float, frames: int = 0, seconds: float = 0.0) -> list[Kept]:
    return [Kept(rate, frames, seconds, 500) for rate in success]


def spent(source: SourceCost | None = SOURCE) -> Spending:
    found = {
        "zero-shot": kept(0.4, 0.5, 0.8),
        "finetune": kept(0.9, 0.8, 0.9, frames=130, seconds=4),
        "pseudo-label": kept(0.1, 0.2, 0.1, frames=130, seconds=9),
        "coral": kept(0.9, 0.8, 0.9, seconds=20),
        "target-only": kept(0.8, 0.9, 0.3, frames=130, seconds=10),
        "target-only-equal-updates": kept(0.1, 0.1, 0.1, frames=130, seconds=3),
    }
    return spending(found, 500, 0, source)


def test_steps_of_the_target_are_what_a_candidate_learned_from() -> None:
    found = spent().spent
    assert {name: each.steps for name, each in found.items()} == {
        "zero-shot": 0,
        "finetune": 130,
        "pseudo-label": 630,
        "coral": 500,
        "target-only": 130,
        "target-only-equal-updates": 130,
    }
    assert found["finetune"].rollout_steps == 500  # told, not counted
    assert (found["coral"].demonstration_frames, found["coral"].unlabelled_frames) == (0, 500)


def test_unequal_budgets_are_not_compared() -> None:
    trials = {"finetune": 6, "pseudo-label": 6, "target-only": 6}
    found = spent().spent
    with pytest.raises(
        SimrealError, match="coral is not compared with target-only: their budgets differ: coral 0"
    ):
        refuse_unequal(
            found | {"coral": dataclasses.replace(found["coral"], rewarded_steps=2000)},
            ("finetune", "target-only"),
            [("coral", "target-only")],
        )
    searched = {name: dataclasses.replace(each, trials=trials.get(name, 0)) for name, each in found.items()}
    pairs = [("pseudo-label", "target-only"), ("zero-shot", "target-only"), ("coral", "zero-shot")]
    refuse_unequal(searched, ("finetune", "target-only"), pairs)
    more = searched | {"finetune": dataclasses.replace(found["finetune"], trials=20)}
    with pytest.raises(SimrealError, match="20 trainings to tune it and target-only"):
        refuse_unequal(more, ("finetune", "target-only"), pairs)


def test_what_each_used_is_a_table() -> None:
    lines = used({name: dataclasses.replace(each, trials=6) for name, each in spent().spent.items()})
    assert lines[0].split("  ")[0] == "candidate"
    assert lines[3].split() == ["pseudo-label", "130", "500", "0", "6", "9"]
    assert len({len(line) for line in lines}) == 1


def test_only_what_reaches_the_threshold_saves_and_the_rest_is_a_bound() -> None:
    saved = spent().saved
    assert list(saved) == ["zero-shot", "finetune", "pseudo-label", "coral"]
    seconds = saved["finetune"]["seconds"]
    # 10 - 4 on the first two seeds; on the third target-only never gets there
    assert seconds["target_only_counts"] == {
        "at_least": 6, "at_most": 6, "low": 6, "high": None, "exact": 2, "seeds": 3,
    }  # fmt: skip
    assert seconds["source_counts"]["at_least"] == 6 - 300
    assert seconds["targets_to_pay"] == 50
    steps = saved["coral"]["steps"]
    assert steps["target_only_counts"]["at_least"] == 130 - 500
    assert steps["targets_to_pay"] is None  # never
    # It does not get there: cheap would be no saving. On the third seed nothing is known.
    never = saved["pseudo-label"]["seconds"]["target_only_counts"]
    assert (never["at_least"], never["at_most"], never["exact"]) == (None, 1, 0)
    assert bounds(never, "seconds") == "at most 1 seconds"


def test_a_sentence_says_it_with_the_source_and_without() -> None:
    assert told(spent(), "finetune") == (
        "To a success of 0.75, against target-only, finetune saves 6 seconds of training and 0 steps of the "
        "target; with the source's 300 seconds and 60,000 simulated steps counted, -294 seconds; in seconds "
        "it is paid for after 50 such targets."
    )
    assert "what the source cost is not known" in told(spent(None), "finetune")
    assert spent(None).saved["finetune"]["steps"]["source_counts"] is None
    nobody = spending({"zero-shot": kept(0.4, 0.1), "target-only": kept(0.2, 0.3)}, 0, 0, SOURCE)
    assert told(nobody, "zero-shot").endswith("is not known: too few training seeds get there.")
    ours, theirs = kept(0.9, 0.8, frames=130, seconds=9.9), kept(0.1, 0.0, frames=130, seconds=9)
    hard = {"finetune": ours, "target-only": theirs}
    assert told(spending(hard, 0, 0, SOURCE), "finetune") == (
        "With this budget target-only gets to a success of 0.75 on too few training seeds to compare; "
        "finetune does with 9.9 "
        "seconds of training and 130 steps of the target, after the source's 300 seconds and 60,000 "
        "simulated steps."
    )
    assert told(spending(hard, 0, 0, None), "finetune").endswith("what the source cost is not known.")
    worse = spending({"finetune": kept(0.4, 0.3), "target-only": kept(0.9, 0.8)}, 0, 0, SOURCE)
    assert told(worse, "finetune") == (
        "target-only gets to a success of 0.75, and finetune on too few training seeds to save anything."
    )
    alone = spending({"zero-shot": kept(0.4), "target-only": kept(0.8)}, 0, 0, SOURCE)
    assert alone.saved == {}
    assert told(alone, "zero-shot") == ""


def test_what_a_source_took_is_read_from_its_run(tmp_path: Path) -> None:
    assert source_cost(None) is None
    assert source_cost(tmp_path) is None
    teacher = {"steps": 40_000, "environments": 4, "rollout_steps": 512}
    config = {"recipe": "distill", "teacher": teacher, "distill": {"frames": [8000, 6000]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "seconds.json").write_text('{"seconds": 298.8}')
    assert source_cost(tmp_path) == SourceCost(298.8, 40_960 + 14_000)  # whole rollouts of 2048
    sac = {"recipe": "rl", "rl": {"algorithm": "sac", "steps": 10, "environments": 4, "rollout_steps": 256}}
    (tmp_path / "config.json").write_text(json.dumps(sac))
    assert source_cost(tmp_path) == SourceCost(298.8, 12)
    (tmp_path / "seconds.json").write_text("{")
    with pytest.raises(SimrealError, match=r"seconds\.json: truncated or damaged"):
        source_cost(tmp_path)
