"""Trials: a loop runs one episode after the other, and somebody says what each was worth.

Between trials the arm is at the start pose or on its way there, and goes on being watched and commanded.
"""

import csv
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from simreal.deploy.judge import ASK_BEGIN, ASK_SCORE, Judge, Score
from simreal.deploy.log import Episode
from simreal.deploy.loop import ControlLoop
from simreal.deploy.signals import NAMES
from simreal.errors import SimrealError

_ASK_S = 0.02


class Gate:
    """Keeps a loop from running before its trial begins; `open` is for `LoopConfig.ready`."""

    def __init__(self) -> None:
        self.is_open = False

    def open(self) -> bool:
        """Tell whether the policy may begin."""
        return self.is_open


@dataclass(frozen=True)
class Trial:
    """One trial."""

    number: int
    seed: int
    episode: Episode
    score: Score | None
    """None for one that nobody scored."""
    aborted: bool
    """Whether it was cut short: by ctrl-C, or by anything else that stopped the loop."""
    seconds: float
    scorer: str
    timestamp: str
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class Course:
    """What to run, and who judges."""

    next_trial: Callable[[], tuple[int, int] | None]
    """Number and seed of the next trial; None after the last one. Asked when the one before is recorded."""
    place: Callable[[int], bool]
    """Puts a simulated world where the seed says; False for a robot, where a person does that."""
    judge: Judge
    gate: Gate
    steps: int
    """Decisions in a trial at most."""
    what: str
    """Name of a trial, for people."""


def run_trials(loop: ControlLoop, course: Course) -> Iterator[Trial]:
    """Run trials until there is none left, the judge quits, or the loop stops; the loop is left as it is."""
    judge, begun = course.judge, False
    while not loop.supervisor.stopped and (following := course.next_trial()) is not None:
        number, seed = following
        placed = course.place(seed)
        loop.restart("next trial", placed) if begun else loop.start()
        begun = True
        judge.tell(f"{course.what} {number}: {ASK_BEGIN}")
        loop.wait(judge.begins)
        if judge.quits or loop.supervisor.stopped:
            return
        trial = _run(loop, course, number, seed)
        yield trial


def _run(loop: ControlLoop, course: Course, number: int, seed: int) -> Trial:
    judge, began_s = course.judge, loop.clock.now()
    course.gate.is_open = True
    judge.tell(f"{course.what} {number} runs: Enter ends it")
    episode = loop.run(course.steps, judge.ends)
    course.gate.is_open = False
    seconds, aborted = loop.clock.now() - began_s, loop.supervisor.stopped
    if not aborted:
        loop.restart("trial ended")
    score = _scored(loop, judge, f"{course.what} {number}, {episode.steps} steps: {ASK_SCORE}", aborted)
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    return Trial(number, seed, episode, score, aborted, round(seconds, 3), judge.name, stamp)


def _scored(loop: ControlLoop, judge: Judge, question: str, aborted: bool) -> Score | None:
    """Return the judge's score; after ctrl-C, when the robot has stopped, another ctrl-C is no answer."""
    scores: list[Score] = []

    def scored() -> bool:
        scores.extend(score for score in [judge.score()] if score is not None)
        return bool(scores)

    judge.tell(question)
    if not aborted:
        loop.wait(scored)
    if not scores and judge.is_person and loop.supervisor.doomed == NAMES[signal.SIGINT]:
        signals, counted = loop.supervisor.signals, loop.supervisor.signals.count
        judge.tell(f"stopped; {question}, ctrl-C leaves it unscored")
        while signals.count == counted and not scored():
            time.sleep(_ASK_S)
    return scores[-1] if scores else None


class Table:
    """A CSV file that rows are only ever added to; each is on the disk before the next one is begun."""

    def __init__(self, path: Path, head: tuple[str, ...]) -> None:
        """Open a table.

        Raises:
            SimrealError: if there is another one in its place, naming both heads.
        """
        self.path, self._head = path, head
        if not path.is_file() or path.stat().st_size == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(head)
        with path.open(encoding="utf-8", newline="") as file:
            found = next(csv.reader(file), [])
        if tuple(found) != head:
            raise SimrealError(f"{path}: its columns are {', '.join(found)}; wanted {', '.join(head)}")

    def add(self, row: Mapping[str, object]) -> None:
        """Add a row; None is an empty field."""
        self._write(tuple("" if row[name] is None else row[name] for name in self._head))

    def rows(self) -> list[dict[str, str]]:
        """Return what is there; a last line that a crash cut short is none."""
        with self.path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row.values()]

    def _write(self, values: tuple[object, ...]) -> None:
        cut = self.path.is_file() and self.path.stat().st_size > 0 and self.path.read_bytes()[-1:] != b"\n"
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write("\n" if cut else "")
            csv.writer(file, lineterminator="\n").writerow(values)
            file.flush()
            os.fsync(file.fileno())
