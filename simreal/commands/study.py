"""`study`: sources x targets x methods x seeds -> one table."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from simreal.cluster import RayCluster
from simreal.commands.common import Common
from simreal.errors import SimrealError
from simreal.progress import say
from simreal.study.conclusions import Compared
from simreal.study.plan import StudyPlan
from simreal.study.run import CELLS, LOOKS, SOURCE_DATA, StudyResult, run
from simreal.study.store import Store
from simreal.targets import label_of
from simreal.workers import SHARED, Executor


@dataclass(frozen=True)
class Study(Common):
    """Sources x targets x severities x budgets x methods x seeds, in OUT/cells.parquet.

    Started again in the same folder, also with a grown plan, it computes what is missing.
    """

    plan: Annotated[Path, tyro.conf.Positional] = Path("study.yaml")
    """The study: YAML with `sources`, `targets`, `methods`, and what else it sets."""

    executor: Literal["local", "ray"] = "local"
    """Where cells are computed: on this machine's cores, or on a Ray cluster (extra ray)."""
    address: str | None = None
    """Of the Ray cluster, HOST:PORT; else what RAY_ADDRESS says, or one on this machine."""
    store: str | None = None
    """Folder or object store that every node reaches, as fsspec names it; OUT/store by default."""

    resume = True  # what the folder has is gone on with, unless --overwrite

    def work(self) -> dict[str, Any]:
        """Compute, and print what the table says."""
        plan = StudyPlan.read(self.plan)
        if self.overwrite:
            for pattern in ("*.parquet", "*.journal", "settings_*.json", SOURCE_DATA, LOOKS.format("*")):
                for path in self.folder().glob(pattern):
                    path.unlink()
        with self._executor() as (executor, store):
            result = run(plan, self.folder(), executor, store)
        for compared in result.compared:
            say(_line(compared))
        if result.caution:
            say(result.caution)
        _list_unfinished(result)
        return {"study": result}

    @contextlib.contextmanager
    def _executor(self) -> Iterator[tuple[Executor, Store | None]]:
        """Give what computes cells, and where its workers find what they start from."""
        if self.executor == "local":
            for name in ("address", "store"):
                if (value := getattr(self, name)) is not None:
                    raise SimrealError(f"--{name} {value}: belongs to --executor ray")
            yield SHARED, None
            return
        cluster = RayCluster(self.address)
        try:
            store = Store(self.store or str(self.folder().absolute() / "store"))
            if self.overwrite:
                store.forget_table(self.folder() / CELLS)
            yield cluster, store
        finally:
            cluster.shut_down()


def _line(compared: Compared) -> str:
    means = [f"{name} {sum(rates) / len(rates):.2f}" for name, rates in compared.success.items()]
    place = label_of(compared.domain, compared.severity)
    verdicts = [
        f"{item.candidate} against {item.baseline}: {item.verdict}"
        for item in compared.comparisons
        if item.primary
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
