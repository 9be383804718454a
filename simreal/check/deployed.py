"""The table of `simreal deploy --outcomes`, read as the check reads a trial sheet.

A trial's seed is its initial condition, and so its block. The last row of a trial counts; one without
`success` was discarded, or is to be done again. What was cut short is `aborted`, a failure whatever was done
of the task by then, unless who scored it called it a success.
"""

from collections.abc import Sequence
from pathlib import Path

from simreal.errors import SimrealError

Row = tuple[int, dict[str, str]]
COLUMNS = ("policy", "trial", "seed", "success", "partial_score", "aborted")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_OWN = {"trial", "success", "partial_score", "aborted", "scorer"}  # what no trial sheet has
_BY_WORLD = "simulation"  # as scorer: nothing drifts there


def is_deployed(columns: Sequence[str]) -> bool:
    """Tell whether a table's columns, in small letters, are those of a deployment, if not all of them."""
    return len(_OWN & set(columns)) >= 3 and "outcome" not in columns


def as_sheet(path: Path, rows: list[Row], who: str) -> list[Row]:
    """Return the rows that count as rows of a trial sheet: policy or label, block, outcome, score.

    Args:
        path: Of the table, for errors.
        rows: With their numbers, at least one.
        who: Column in which the sheet names the policy: `policy`, or `label` if it is blinded.

    Raises:
        SimrealError: naming a column that is missing, or a row whose flag is none.
    """
    missing = [name for name in COLUMNS if name not in rows[0][1]]
    if missing:
        raise SimrealError(
            f"{path}: no column {missing[0]!r}; "
            f"a table of `simreal deploy --outcomes` has {', '.join(COLUMNS)}"
        )
    whole = [
        (number, row) for number, row in rows if row.get("timestamp", "whole")
    ]  # or a crash cut it short
    last = {(row["policy"], row["trial"]): number for number, row in whole}
    counting = [(number, row) for number, row in whole if last[row["policy"], row["trial"]] == number]
    blocks = _blocks(counting)
    return [
        (number, {who: row["policy"], "block": blocks[number], **_scored(path, number, row)})
        for number, row in counting
    ]


def by_world(rows: list[Row]) -> bool:
    """Tell whether a simulated world scored all of it."""
    return all(row.get("scorer") == _BY_WORLD for _, row in rows)


def _blocks(rows: list[Row]) -> dict[int, str]:
    """Return the block of each row: its seed, if policies share any; else none: they are paired in order."""
    policies: dict[str, set[str]] = {}
    for _, row in rows:
        policies.setdefault(row["seed"], set()).add(row["policy"])
    shared = any(seed and len(names) > 1 for seed, names in policies.items())
    return {number: f"seed {row['seed']}" if shared and row["seed"] else "" for number, row in rows}


def _scored(path: Path, number: int, row: dict[str, str]) -> dict[str, str]:
    """Return outcome and score; both empty for a trial that does not count."""
    success, aborted = (_flag(path, number, row, name) for name in ("success", "aborted"))
    if success is None:
        return {"outcome": "", "score": ""}
    word = "success" if success else "aborted" if aborted else "failure"
    return {"outcome": word, "score": row["partial_score"]}


def _flag(path: Path, number: int, row: dict[str, str], name: str) -> bool | None:
    value = row[name].lower()
    if value and value not in _FLAGS:
        raise SimrealError(f"{path}: row {number}: {name} {row[name]!r}: takes True, False or nothing")
    return _FLAGS.get(value)
