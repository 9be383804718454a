"""Search the settings of transfer methods on tuning seeds: python scripts/tune_methods.py --run runs/train.

Each method gets the same number of trials over its own numbers and its learning rate, and the best is
compared with the defaults on tuning seeds that chose nothing. What is found goes into
OUT/METHOD.json, which `simreal adapt --settings` reads. Killed and started again, it goes on.
"""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path

from simreal.exits import run_script
from simreal.files import write_json
from simreal.results import write_result
from simreal.seeds import TUNING_RUNS
from simreal.study import Source
from simreal.study.plan import Budget
from simreal.study.tuning import Tuned, Tuning, tune
from simreal.targets import parse_target
from simreal.transfer import UPDATES


@dataclass
class Options:
    """Which methods, where, and how much to spend on each."""

    run: Path = Path("runs/train")
    """A pretraining run."""
    methods: tuple[str, ...] = ("finetune", "color-match")
    targets: tuple[str, ...] = ("hue-shift@3", "glare@3", "proprio-bias@3", "workshop@3")
    trials: int = 20
    """Of each method; the first are its defaults."""
    seeds: int = 3
    """Tuning seeds of a trial, after each of which it may be stopped."""
    fresh_seeds: int = 3
    """Further tuning seeds, on which the best is compared with the defaults."""
    budget: Budget = field(default_factory=Budget)
    updates: int = UPDATES
    episodes: int = 50
    """Of each target and seed."""
    run_seed: int = TUNING_RUNS[1]
    """A run of tuning seeds; no other is taken."""
    seed: int = 0
    """Of what is drawn."""
    out: Path = Path("runs/tune")
    """Keeps trials, cells and what was found."""
    json: Path | None = None
    """Write the result there as JSON."""


def main(options: Options) -> None:
    """Search, and print what was found."""
    started = time.perf_counter()
    source = Source.of_run(options.run)
    sizes = {each.name: getattr(options, each.name) for each in dataclasses.fields(Tuning)}
    targets = tuple(parse_target(name, source.env_id) for name in options.targets)
    tuning = Tuning(**sizes | {"targets": targets})
    found = {}
    for name in options.methods:
        found[name] = tune(source, name, tuning, options.out)
        write_json(options.out / f"{name}.json", found[name].best)
        print(_line(found[name]))
    if options.json:
        write_result(options.json, "tune_methods", options.seed, time.perf_counter() - started, tuning=found)


def _line(found: Tuned) -> str:
    settings = ", ".join(f"{name} {value:.3g}" for name, value in found.best.items())
    value, low, high = (100 * end for end in dataclasses.astuple(found.gain))
    stopped = sum(trial.stopped for trial in found.trials)
    shown = "shown to be better" if found.gain.low > 0 else "not shown to be better"
    if found.best == found.default:
        return f"{found.method}: of {len(found.trials)} trials ({stopped} stopped) its defaults are the best"
    return (
        f"{found.method}: of {len(found.trials)} trials ({stopped} stopped) the best has {settings}; on "
        f"fresh tuning seeds {value:+.1f} points over the defaults ({low:+.1f} to {high:+.1f}): {shown}"
    )


if __name__ == "__main__":
    run_script(main, Options)
