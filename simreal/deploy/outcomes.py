"""`Outcomes`: the table of scored rollouts of deployed policies, which `simreal check --outcomes` reads.

One row a trial: `policy` (or its blinded label), `trial`, `seed` (of a simulated world; on a robot, which
initial condition the person is to set up), `success`, `partial_score`, `aborted`, `seconds`, `scorer`,
`timestamp`. Rows are only ever added. A trial that was discarded or is to be done again leaves a row
without `success`; one that was cut short is `aborted`, and no success unless it was scored. The last row of
a trial is the one that counts.
"""

from pathlib import Path

from simreal.deploy.trials import Table, Trial

COLUMNS = (
    "policy", "trial", "seed", "success", "partial_score", "aborted", "seconds", "scorer", "timestamp",
)  # fmt: skip


class Outcomes:
    """The outcomes of one policy, in a table that other policies may share."""

    def __init__(self, path: Path, policy: str) -> None:
        """Open a table, or begin one.

        Args:
            path: CSV.
            policy: Its name; or a label that does not tell the person who scores which policy it is.

        Raises:
            SimrealError: if the file is another table.
        """
        self.policy, self._table = policy, Table(path, COLUMNS)

    def add(self, trial: Trial) -> bool | None:
        """Add a trial; return whether it was a success, None if it does not count."""
        score = trial.score  # of one that was cut short and not scored: none, and no success
        counts = score is None or score.verdict in ("success", "failure")
        success = score is not None and score.verdict == "success"
        self._table.add({
            "policy": self.policy, "trial": trial.number, "seed": trial.seed,
            "success": success if counts else None,
            "partial_score": (score.partial if score else 0.0) if counts else None,
            "aborted": trial.aborted, "seconds": trial.seconds,
            "scorer": trial.scorer, "timestamp": trial.timestamp,
        })  # fmt: skip
        return success if counts else None

    def scored(self) -> dict[int, bool]:
        """Return trial number -> success of the trials that count."""
        last = {int(row["trial"]): row for row in self._table.rows() if row["policy"] == self.policy}
        return {number: row["success"] == "True" for number, row in last.items() if row["success"]}
