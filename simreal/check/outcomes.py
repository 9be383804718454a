"""Read scored rollouts: a filled-in trial sheet, what a deployment wrote, or any table of rollouts.

An aborted rollout is a failure, whatever its score.
"""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from simreal.check.deployed import Row, as_sheet, by_world, is_deployed
from simreal.errors import SimrealError, nearest

WORDS = {
    "success": True, "true": True, "1": True, "1.0": True,
    "failure": False, "aborted": False, "false": False, "0": False, "0.0": False,
}  # fmt: skip
_MEASURES = ("score", "reward")
_RIGHT = "success, failure, aborted, 1, 0, true or false"


@dataclass(frozen=True)
class Rollout:
    """One scored rollout."""

    policy: str
    block: str
    """Empty where the table has no blocks."""
    success: bool
    aborted: bool


@dataclass(frozen=True)
class Outcomes:
    """The scored rollouts of a table, in its order."""

    rollouts: list[Rollout]
    policies: list[str]
    """All that the table or the key names, sorted."""
    unfilled: int
    """Rows without an outcome."""
    ran_in_order: bool = False
    """Whether the rows are known to stand in the order in which they were run, on a robot."""
    planned: int | None = None
    """Blocks of a trial sheet, filled in or not; None for another table."""

    def of(self, policy: str) -> list[Rollout]:
        """Return the rollouts of one policy, in order."""
        return [rollout for rollout in self.rollouts if rollout.policy == policy]


def read_outcomes(path: Path, key: Path | None = None, threshold: float | None = None) -> Outcomes:
    """Read a CSV or parquet file: `policy` or `label`; `outcome`, `score` or `reward`; perhaps `block`.

    Args:
        path: The table; or one that `simreal deploy --outcomes` wrote, as it stands.
        key: JSON that maps label -> policy, for a blinded table.
        threshold: Scores from here on, or sums of a reward signal, are successes; None to read outcomes.

    Raises:
        SimrealError: naming file, row, column and value, and what would be right.
    """
    rows = list(_parquet(path) if path.suffix == ".parquet" else _csv(path))
    names = None if key is None else read_key(key)
    who = "policy" if names is None else "label"
    deployed = bool(rows) and is_deployed(list(rows[0][1]))
    ran_in_order = deployed and not by_world(rows)
    rows = as_sheet(path, rows, who) if deployed else _as_run(path, rows)
    measure = _check_columns(path, rows, who, threshold)
    rollouts, unfilled = [], 0
    policies = set(names.values() if names else ())
    seen: dict[tuple[str, str], int] = {}
    for number, row in rows:
        policy, block = _policy(path, number, row, names), row.get("block", "")
        policies.add(policy)
        if block and (block, policy) in seen:
            earlier = f"row {seen[block, policy]} has this policy in this block already"
            raise _wrong(path, number, "block", block, f"{earlier}; each comes once")
        seen[block, policy] = number
        found = _outcome(path, number, row, measure, threshold)
        if found is None:
            unfilled += 1
        else:
            rollouts.append(Rollout(policy, block, *found))
    return Outcomes(rollouts, sorted(policies), unfilled, ran_in_order, _planned(rows))


def _is_sheet(rows: list[Row]) -> bool:
    return bool(rows) and {"rollout", "block", "label"} <= rows[0][1].keys()


def _as_run(path: Path, rows: list[Row]) -> list[Row]:
    """Return the rows of a trial sheet by the numbers of its rollouts: a spreadsheet may have sorted them.

    Raises:
        SimrealError: for what is no number, or comes twice.
    """
    if not _is_sheet(rows):
        return rows
    seen: dict[int, int] = {}
    for number, row in rows:
        text = row["rollout"]
        if not re.fullmatch(r"\d+(\.0)?", text):
            raise _wrong(path, number, "rollout", text, "takes the number of the rollout on the trial sheet")
        first = seen.setdefault(int(float(text)), number)
        if first != number:
            raise _wrong(path, number, "rollout", text, f"row {first} has this number already")
    return [row for _, row in sorted(zip(seen, rows, strict=True), key=lambda pair: pair[0])]


def _planned(rows: list[Row]) -> int | None:
    """Return how many blocks a trial sheet had; None for another table.

    Blocks are numbered from 1, so that rows which somebody took out are counted.
    """
    if not _is_sheet(rows):
        return None
    blocks = {row["block"] for _, row in rows}
    return max([len(blocks), *(int(block) for block in blocks if block.isdecimal())])


def read_key(path: Path) -> dict[str, str]:
    """Read which label stands for which policy.

    Raises:
        SimrealError: if it is missing, or no mapping of texts.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SimrealError(f"no key file {str(path)!r}") from None
    except (OSError, ValueError) as error:
        raise SimrealError(f"{path}: not readable as JSON: {error}") from None
    texts = isinstance(found, dict) and all(isinstance(value, str) and value for value in found.values())
    if not texts or len(set(found.values())) < len(found):
        raise SimrealError(
            f'{path}: takes a mapping of each label to another policy, as {{"A": "zero-shot"}}'
        )
    return dict(found)


def _csv(path: Path) -> Iterator[Row]:
    """Give each row with its line in the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            # A spreadsheet set to a language with decimal commas separates by semicolons.
            delimiter = ";" if ";" in header and "," not in header else ","
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            columns = [name.strip().lower() for name in next(reader, [])]
            for cells in reader:
                if len(cells) > len(columns):
                    more = f"{len(cells)} cells where the header has {len(columns)}"
                    raise SimrealError(
                        f"{path}: row {reader.line_num}: {more}; quote a text with {delimiter!r}"
                    )
                values = [cell.strip() for cell in cells] + [""] * (len(columns) - len(cells))
                if any(values):
                    yield reader.line_num, dict(zip(columns, values, strict=True))
    except FileNotFoundError:
        raise SimrealError(f"no file of outcomes {str(path)!r}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SimrealError(f"{path}: not readable as CSV in UTF-8: {error}") from None


def _parquet(path: Path) -> Iterator[Row]:
    """Give each row with its number from 1."""
    import pyarrow
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise SimrealError(f"no file of outcomes {str(path)!r}") from None
    except (OSError, pyarrow.ArrowException) as error:
        raise SimrealError(f"{path}: not readable as parquet: {error}") from None
    for number, row in enumerate(table.to_pylist(), start=1):
        yield number, {str(name).strip().lower(): _text(value) for name, value in row.items()}


def _text(value: object) -> str:
    empty = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if empty else str(value).strip()


def _check_columns(path: Path, rows: list[Row], who: str, threshold: float | None) -> str:
    """Return the column that a threshold is for: scores where somebody gave some, else rewards."""
    if not rows:
        raise SimrealError(f"{path}: no rows; takes one row for each rollout, below a header")
    columns = rows[0][1]
    if who not in columns:
        other = (
            "give --key key.json to read its labels" if "label" in columns else f"has {', '.join(columns)}"
        )
        raise SimrealError(f"{path}: no column {who!r}; {other}")
    filled = {name for name in (*_MEASURES, "outcome") if any(row.get(name) for _, row in rows)}
    measure = next((name for name in _MEASURES if name in filled), _MEASURES[0])
    if threshold is None and filled and "outcome" not in filled:
        raise SimrealError(
            f"{path}: has {measure}s and no outcomes; say what counts as success with --threshold"
        )
    wanted = "outcome" if threshold is None else measure
    if wanted not in columns:
        raise SimrealError(f"{path}: no column {wanted!r}; has {', '.join(columns)}")
    if threshold is not None:
        _check_threshold(threshold, measure)
    return measure


def _check_threshold(threshold: float, measure: str) -> None:
    if measure == "score" and not 0 <= threshold <= 1:
        raise SimrealError(f"--threshold {threshold:g}: must be between 0 and 1")
    if not math.isfinite(threshold):
        raise SimrealError(f"--threshold {threshold:g}: must be a finite number")


def _policy(path: Path, number: int, row: Mapping[str, str], names: dict[str, str] | None) -> str:
    column = "policy" if names is None else "label"
    value = row[column]
    if not value:
        raise _wrong(path, number, column, value, "takes the name of what ran")
    if names is None:
        return value
    if value not in names:
        raise _wrong(path, number, column, value, f"the key has no such label; {nearest(value, names)}")
    return names[value]


def _outcome(
    path: Path, number: int, row: Mapping[str, str], measure: str, threshold: float | None
) -> tuple[bool, bool] | None:
    """Return success and whether the rollout was aborted; None for an unfilled row."""
    word = row.get("outcome", "").lower()
    if word and word not in WORDS:
        raise _wrong(path, number, "outcome", row["outcome"], f"takes {_RIGHT}")
    if threshold is None or word == "aborted" or not row[measure]:  # who gave a word and no score said enough
        return (WORDS[word], word == "aborted") if word else None
    try:
        value = float(row[measure])
    except ValueError:
        value = math.nan
    if measure == "score" and not 0 <= value <= 1:
        raise _wrong(path, number, measure, row[measure], "takes a number from 0 to 1, as 0.5")
    if not math.isfinite(value):
        raise _wrong(path, number, measure, row[measure], "takes the sum of the rewards, as -3.2")
    return value >= threshold, False


def _wrong(path: Path, number: int, column: str, value: str, right: str) -> SimrealError:
    return SimrealError(f"{path}: row {number}: {column} {value!r}: {right}")
