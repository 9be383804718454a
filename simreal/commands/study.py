"""`study`: sources x targets x methods x seeds -> one table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from simreal.commands.common import Common
from simreal.progress import say
from simreal.study.plan import StudyPlan
from simreal.study.run import Compared, StudyResult, run


@dataclass(frozen=True)
class Study(Common):
    """Sources x targets x severities x budgets x methods x seeds, in OUT/cells.parquet.

    Started again in the same folder, also with a grown plan, it computes what is missing.
    """

    plan: Annotated[Path, tyro.conf.Positional] = Path("study.yaml")
    """The study: YAML with `sources`, `targets`, `methods`, and what else it sets."""

    resume = True  # what the folder has is gone on with, unless --overwrite

    def work(self) -> dict[str, Any]:
        """Compute, and print what the table says."""
        plan = StudyPlan.read(self.plan)
        if self.overwrite:
            for path in (*self.folder().glob("*.parquet"), *self.folder().glob("target_only_*.json")):
                path.unlink()
        result = run(plan, self.folder())
        for compared in result.compared:
            say(_line(compared))
        _list_unfinished(result)
        return {"study": result}


def _line(compared: Compared) -> str:
    means = [f"{name} {sum(rates) / len(rates):.2f}" for name, rates in compared.success.items()]
    place = f"{compared.domain}@{compared.severity}" if compared.severity else compared.domain
    verdicts = [
        f"{item.candidate} against {item.baseline}: {item.verdict}" for item in compared.comparisons[:1]
    ]
    return f"{compared.source} on {place}, {compared.budget.demos} demonstrations: " + "; ".join(
        [", ".join(means), *verdicts]
    )


def _list_unfinished(result: StudyResult) -> None:
    say(f"{result.computed} of {result.cells} cells")
    for what, found in (("refused", result.refused), ("failed", result.failed)):
        for item in found:
            place = f"{item.candidate} on {item.target} from {item.source}, seed {item.seed}"
            say(f"{what}: {place}: {item.reason}")
