"""The trial sheet: who runs when, decided beforehand, so that neither day nor person favours a policy.

Randomized complete blocks (Fisher 1935, The Design of Experiments, chapter 4): each block has every policy
once, under the same initial condition, in random order. What drifts during the day (light, a gripper that
wears, a battery) is the same for all policies of a block but for a few minutes, and whose minutes is chance.
Initial conditions are names that a person gives, or goals that the task draws.
"""

import csv
import io
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.errors import SimrealError, at_least
from simreal.files import atomic_write_text, write_json

WHO, RESULT = ("rollout", "block", "label"), ("seed", "outcome", "score", "notes")
Draw = Callable[[Sequence[int]], list[dict[str, str]]]
SHEET, KEY = "trial.csv", "key.json"


@dataclass(frozen=True)
class TrialSheet:
    """A plan of rollouts."""

    rows: list[dict[str, str]]
    """One rollout each, in the order in which they are run; keys are the columns."""
    key: dict[str, str]
    """Label -> policy; not for the eyes of who scores."""

    def write(self, folder: Path, overwrite: bool = False) -> tuple[Path, Path]:
        """Write sheet and key.

        Raises:
            SimrealError: if there is a sheet already: it may be filled in.
        """
        sheet, key = folder / SHEET, folder / KEY
        for path in (sheet, key):
            if path.exists() and not overwrite:
                raise SimrealError(f"{path} exists already: choose another --out, or add --overwrite")
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_json(key, self.key)
        return atomic_write_text(sheet, text.getvalue()), key


def plan_trials(
    blocks: int, policies: Sequence[str], conditions: Sequence[str] | Draw, seed: int
) -> TrialSheet:
    """Draw a sheet.

    Args:
        blocks: Rollouts of each policy.
        policies: Names of two or more policies.
        conditions: Names of initial conditions, each of which comes once before any comes twice; or what
            draws a goal for each episode seed, as `goals.draw_goals` does.
        seed: Of labels and orders.

    Raises:
        SimrealError: for fewer than two policies, or one named twice.
    """
    at_least(1, plan=blocks)
    _check_policies(policies)
    rng = np.random.default_rng(seed)
    labels = string.ascii_uppercase[: len(policies)]
    key = dict(zip(labels, (str(name) for name in rng.permutation(np.array(policies))), strict=True))
    rows: list[dict[str, str]] = []
    episodes = [int(episode) for episode in rng.integers(2**31, size=blocks)]
    placed = conditions(episodes) if callable(conditions) else _conditions(blocks, conditions, rng)
    for block, (episode, condition) in enumerate(zip(episodes, placed, strict=True), start=1):
        for label in rng.permutation(list(labels)):
            who = dict(zip(WHO, (str(len(rows) + 1), str(block), str(label)), strict=True))
            rows.append(who | condition | dict.fromkeys(RESULT, "") | {"seed": str(episode)})
    return TrialSheet(rows, key)


def read_conditions(given: Sequence[str]) -> list[str]:
    """Return the initial conditions: names as given, or of a CSV file's column `condition`, else its first.

    Raises:
        SimrealError: if the file is missing or names none.
    """
    if len(given) != 1 or not given[0].endswith(".csv"):
        return list(given)
    path = Path(given[0])
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except FileNotFoundError:
        raise SimrealError(f"no file of conditions {str(path)!r}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SimrealError(f"{path}: not readable as CSV in UTF-8: {error}") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = "condition" in header
    column, body = (header.index("condition"), rows[1:]) if named else (0, rows)
    found = [row[column].strip() for row in body if len(row) > column and row[column].strip()]
    if not found:
        raise SimrealError(f"{path}: no conditions; takes one a row, below the header 'condition'")
    return found


def _check_policies(policies: Sequence[str]) -> None:
    if not 2 <= len(policies) <= len(string.ascii_uppercase):
        raise SimrealError(f"--policies: {len(policies)} named; a plan takes two or more, and at most 26")
    twice = sorted({name for name in policies if policies.count(name) > 1})
    if twice or not all(policies):
        raise SimrealError(
            f"--policies: {(twice or [''])[0]!r} is empty or named twice; each needs its own name"
        )


def _conditions(blocks: int, names: Sequence[str], rng: np.random.Generator) -> list[dict[str, str]]:
    """Return a condition for each block, in random order, all of them before any comes again."""
    found: list[str] = []
    while len(found) < blocks:
        found += [str(name) for name in rng.permutation(np.array(names))]
    return [{"condition": name} for name in found[:blocks]]
