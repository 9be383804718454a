"""Who says when a trial begins, when it ends, and what it was worth: a person, or a simulated world."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from simreal.deploy.keyboard import Keys
from simreal.progress import say

Verdict = Literal["success", "failure", "discard", "redo"]
_VERDICTS: dict[str, Verdict] = {"s": "success", "f": "failure", "d": "discard", "r": "redo"}


@dataclass(frozen=True)
class Score:
    """What a trial was worth."""

    verdict: Verdict
    partial: float
    """From 0 to 1."""


class Judge(Protocol):
    """Asked again and again, at every tick; never waits."""

    name: str
    is_person: bool

    def begins(self) -> bool:
        """Tell whether the next trial may begin."""

    def ends(self) -> bool:
        """Tell whether the running trial is to end."""

    def score(self) -> Score | None:
        """Return what the last trial was worth; None as long as it is not known."""

    def tell(self, what: str) -> None:
        """Say which trial is next, or that one has ended."""

    @property
    def quits(self) -> bool:
        """Tell whether there are to be no more trials."""


class Person:
    """A person at the terminal."""

    is_person = True

    def __init__(self, keys: Keys, name: str) -> None:
        self.name, self.quits, self._keys = name, False, keys

    def tell(self, what: str) -> None:
        """Ask for the next key."""
        self._keys.clear()  # whatever was typed before the question is no answer to it
        say(what)

    def begins(self) -> bool:
        """Enter begins; q, or the end of the input, is the end."""
        self.quits = self._keys.closed or "q" in (taken := self._keys.take("q\n"))
        return self.quits or bool(taken)

    def ends(self) -> bool:
        """Enter ends a trial."""
        return bool(self._keys.take("\n"))

    def score(self) -> Score | None:
        """A letter, or a digit: the tenths of the task that were done in a failure."""
        for key in self._keys.take("sfdr123456789"):
            if key.isdigit():
                return Score("failure", int(key) / 10)
            return Score(_VERDICTS[key], float(key == "s"))
        if self._keys.closed:  # nobody is there to say: not kept, and not lost
            self.quits = True
            return Score("redo", 0.0)
        return None


class World:
    """A simulated world: it knows whether the task is done."""

    name, is_person, quits = "simulation", False, False

    def __init__(self, succeeded: Callable[[], bool]) -> None:
        self._succeeded, self._done = succeeded, False

    def tell(self, what: str) -> None:
        """Nobody listens."""

    def begins(self) -> bool:
        """Trials begin at once."""
        self._done = False
        return True

    def ends(self) -> bool:
        """A trial ends at success."""
        self._done = self._succeeded()
        return self._done

    def score(self) -> Score | None:
        """Success is what the world said at the end."""
        return Score("success", 1.0) if self._done else Score("failure", 0.0)


ASK_BEGIN = "Enter begins, q ends the session"
ASK_SCORE = "s success, f failure, 1-9 failure with so many tenths done, d discard, r redo"
