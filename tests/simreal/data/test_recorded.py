"""Adapting from recorded data alone, and what is done with data that is bad."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policies import PolicyBundle
from simreal.adapt import Given, adapt, open_source
from simreal.check import target_only
from simreal.cli import main
from simreal.data import stored_images
from simreal.data.episodes import Episode
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.data.stored_images import ImageStore, StoredImages
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.transfer import METHODS, Problem

ANY_LEFT = [name for name, item in METHODS.items() if "rewarded steps" not in item.needs]


@pytest.fixture
def names(bundle: PolicyBundle) -> DatasetNames:
    proprio = next(spec for spec in bundle.manifest.observations if spec.name == "proprio")
    return DatasetNames(proprio.order, bundle.manifest.action.order, "reach")


def given(path: Path, episodes: list[Episode], names: DatasetNames, **more: Any) -> Given:
    dataset = LeRobotDataset(write_dataset(path, episodes, 20, names))
    return Given(dataset, dataset, **{"updates": 3} | more)


def one_step(method: str) -> dict[str, float]:
    """Return settings that spare meta-learning's inner steps, which take far longer than all else."""
    return {"steps": 1} if "steps" in METHODS[method].settings() else {}


def finite(bundle: PolicyBundle) -> bool:
    return all(np.isfinite(value).all() for value in bundle.policy.to_arrays().values())


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("method", ANY_LEFT)
def test_every_method_without_rewards_needs_no_environment(
    method: str, bundle: PolicyBundle, source_run: Path, episodes: list[Episode], names: DatasetNames,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("an environment was opened")

    monkeypatch.setattr(gymnasium, "make", refuse)
    before = bundle.weights_sha256
    # The episodes are the policy's own: an expert would have done something else.
    episodes = [dataclasses.replace(e, actions=(e.actions - 1) / 2) for e in episodes]
    adapted = adapt(bundle, method, given(tmp_path / "d", episodes, names, source=source_run), 0)
    assert bundle.weights_sha256 == before
    if method != "latent-search":  # so few looks may find nothing better than the source
        assert adapted.weights_sha256 != before
    assert adapted.manifest.parent == before
    assert finite(adapted)


@pytest.mark.parametrize("method", ANY_LEFT)
def test_one_demonstration_of_one_frame_and_constant_values(
    method: str, bundle: PolicyBundle, source_run: Path, episodes: list[Episode], names: DatasetNames,
    tmp_path: Path,
) -> None:  # fmt: skip
    still = dataclasses.replace(first(episodes[2], 5), proprio=np.ones_like(episodes[2].proprio[:5]))
    settings = one_step(method)
    for index, shown in enumerate(([first(episodes[0], 1)], [still])):
        path = tmp_path / str(index)
        data = given(path, shown, names, source=source_run, updates=2, settings=settings)
        if method == "inverse-dynamics" and index == 0:
            with pytest.raises(SimrealError, match="no two frames follow each other"):
                adapt(bundle, method, data, 0)
        else:
            assert finite(adapt(bundle, method, data, 0))


@pytest.mark.parametrize("method", ANY_LEFT)
def test_constant_images_from_memory_break_no_weight(
    method: str, bundle: PolicyBundle, source_run: Path, episodes: list[Episode]
) -> None:
    """Of one demonstration. From files they are refused; a script may hand anything to a method."""
    blank = dataclasses.replace(episodes[0], images=np.full_like(episodes[0].images, 255))
    data = TargetData.of_episodes([blank])
    problem = Problem(bundle.policy, 0, data, open_source(source_run, bundle), data, 2, (7, 8, 9))
    adapted = METHODS[method].with_settings(one_step(method)).adapt(problem)
    assert all(np.isfinite(value).all() for value in adapted.to_arrays().values())
    for image in (episodes[0].images[0], blank.images[0]):
        assert np.isfinite(adapted.act({"image": image, "proprio": blank.proprio[0]})).all()


@pytest.mark.parametrize("frames", [1, 12])
def test_target_only_is_tuned_on_one_demonstration(
    frames: int, bundle: PolicyBundle, episodes: list[Episode]
) -> None:
    data = TargetData.of_episodes([first(episodes[0], frames)])
    tuned = target_only.converge(bundle.policy.config, data, 1e-3, 2, 0)
    assert np.isfinite(tuned.held_out_loss)
    policy = target_only.train(bundle.policy.config, data, 1e-3, 2, 0)
    assert all(np.isfinite(value).all() for value in policy.to_arrays().values())


def first(episode: Episode, count: int) -> Episode:
    parts = ("images", "proprio", "actions", "rewards", "timestamps")
    return dataclasses.replace(episode, **{name: getattr(episode, name)[:count] for name in parts})


def failed(episodes: list[Episode]) -> list[Episode]:
    return [dataclasses.replace(episode, success=False) for episode in episodes]


def dead(episodes: list[Episode]) -> list[Episode]:
    return [dataclasses.replace(episode, images=np.full_like(episode.images, 7)) for episode in episodes]


def stuck(episodes: list[Episode]) -> list[Episode]:
    still = episodes[0].images[:1]
    return [dataclasses.replace(e, images=np.repeat(still, len(e), axis=0)) for e in episodes]


def strong(episodes: list[Episode]) -> list[Episode]:
    return [dataclasses.replace(episode, actions=20 * episode.actions) for episode in episodes]


def weak(episodes: list[Episode]) -> list[Episode]:
    return [dataclasses.replace(episode, actions=episode.actions / 20) for episode in episodes]


def dead_once(episodes: list[Episode]) -> list[Episode]:
    return [*episodes[:1], *dead(episodes[1:2]), *episodes[2:]]


def small(episodes: list[Episode]) -> list[Episode]:
    return [dataclasses.replace(e, images=np.ascontiguousarray(e.images[:, ::2, ::2])) for e in episodes]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (failed, "all 3 demonstrations failed: nothing to imitate"),
        (dead, "every image is of one and the same colour"),
        (stuck, "images are the same: a stuck camera"),
        (dead_once, "episode 1: every image is of one and the same colour: a dead camera?"),
        (strong, "recorded in another scale"),
        (weak, "a full one is 1: recorded in another scale"),
        (small, "images of (32, 32, 3); the bundle reads (64, 64, 3)"),
    ],
)
def test_bad_demonstrations_are_one_clear_line(
    change: Any, words: str, bundle_path: Path, episodes: list[Episode], names: DatasetNames,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    dataset, before = write_dataset(tmp_path / "d", change(episodes), 20, names), digest(bundle_path)
    arguments = ["adapt", "--policy", str(bundle_path), "--demos", str(dataset), "--method", "finetune"]
    assert main([*arguments, "--out", str(tmp_path / "o"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert digest(bundle_path) == before
    assert not (tmp_path / "o" / "policy").exists()


@pytest.mark.parametrize(
    ("column", "name"), [("observation.state", "proprio"), ("action", "actions"), ("next.reward", "rewards")]
)
@pytest.mark.parametrize("number", [np.nan, -np.inf])
def test_a_number_that_is_none_is_one_clear_line(
    number: float, column: str, name: str, bundle_path: Path, episodes: list[Episode], names: DatasetNames,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    dataset = write_dataset(tmp_path / "d", episodes, 20, names)
    file = dataset / "data/chunk-000/file-000.parquet"
    table = pq.read_table(file)
    values = table[column].to_pylist()
    values[14] = [number, *values[14][1:]] if isinstance(values[14], list) else number
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, table.field(at), pa.array(values, table.field(at).type)), file)
    arguments = ["adapt", "--policy", str(bundle_path), "--demos", str(dataset), "--method", "finetune"]
    assert main([*arguments, "--out", str(tmp_path / "o"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert f"{name}: holds a NaN or an infinity" in error
    assert str(dataset) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o" / "policy").exists()


def test_failures_among_demonstrations_are_not_imitated(
    bundle: PolicyBundle, episodes: list[Episode], names: DatasetNames, tmp_path: Path
) -> None:
    adapted = adapt(bundle, "head-only", given(tmp_path / "d", episodes, names), 0)
    used = adapted.manifest.extra["used"]
    assert used["demonstrations"] == sum(episode.success for episode in episodes) < len(episodes)


def test_another_action_scale_is_named(
    bundle: PolicyBundle, episodes: list[Episode], names: DatasetNames, tmp_path: Path
) -> None:
    other = dataclasses.replace(names, action_scale=(0.02, 0.02, 0.02))
    with pytest.raises(SimrealError, match=r"action_scale: \[0.02, 0.02, 0.02\]; the bundle has \[0.05"):
        adapt(bundle, "finetune", given(tmp_path / "d", episodes, other), 0)


def test_no_demonstration_is_an_error(bundle_path: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = ["adapt", "--policy", str(bundle_path), "--method", "finetune", "--out", str(tmp_path)]
    assert main([*arguments, "--demos", "0", "--teacher", str(bundle_path), "--quiet"]) == 2
    assert "--demos 0: must be at least 1" in capsys.readouterr().err
    assert main([*arguments, "--demos", str(tmp_path / "none"), "--quiet"]) == 2
    assert "no LeRobot dataset" in capsys.readouterr().err


def test_the_source_bundle_is_never_overwritten(
    bundle: PolicyBundle, episodes: list[Episode], names: DatasetNames, tmp_path: Path, capsys: Any
) -> None:
    path = bundle.save(tmp_path / "run" / "policy")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    dataset, before = write_dataset(tmp_path / "d", episodes, 20, names), digest(path)
    arguments = [
        "--demos",
        str(dataset),
        "--method",
        "finetune",
        "--quiet",
        "--overwrite",
        "--preset",
        "smoke",
    ]
    for out in (tmp_path / "run", tmp_path / "link"):
        assert main(["adapt", "--policy", str(path), "--out", str(out), *arguments]) == 2
        assert "is the bundle being adapted" in capsys.readouterr().err
    assert digest(path) == before


def test_images_alone_are_frames_and_no_demonstrations(
    bundle: PolicyBundle, source_run: Path, episodes: list[Episode], names: DatasetNames, tmp_path: Path
) -> None:
    alone = dataclasses.replace(names, images_only=True)
    data = given(tmp_path / "d", episodes, alone, source=source_run)
    with pytest.raises(SimrealError, match="images alone are no demonstrations"):
        adapt(bundle, "finetune", data, 0)
    unlabelled = dataclasses.replace(data, demonstrations=None)
    for method in ("inverse-dynamics", "proprio"):
        with pytest.raises(SimrealError, match="images alone"):
            adapt(bundle, method, unlabelled, 0)
    assert finite(adapt(bundle, "mmd", unlabelled, 0))
    frames = unlabelled.problem(bundle, 0).frames
    assert frames is not None
    assert np.allclose(frames.proprio, bundle.policy.encoder.normalizer.mean.numpy())


def test_a_large_dataset_stays_in_a_file_and_teaches_the_same(
    bundle: PolicyBundle, source_run: Path, episodes: list[Episode], names: DatasetNames, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    data = given(tmp_path / "d", episodes, names, source=source_run)
    small = {name: adapt(bundle, name, data, 0).weights_sha256 for name in ("finetune", "pseudo-label")}
    monkeypatch.setattr(stored_images, "MOST_BYTES", 0)
    held = data.problem(bundle, 0).frames
    assert held is not None
    assert isinstance(held.images, StoredImages)
    assert isinstance(held.only(np.array([1])).images, StoredImages)
    assert {name: adapt(bundle, name, data, 0).weights_sha256 for name in small} == small
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]  # nothing is left beside it


def test_stored_images_are_the_images(tmp_path: Path, episodes: list[Episode]) -> None:
    plain = TargetData.of_episodes(episodes)
    store = ImageStore(tmp_path / "d", most_bytes=episodes[0].images.nbytes)
    for episode in episodes:
        store.add(episode.images)
    stored = store.finish()
    assert isinstance(stored, StoredImages)
    assert stored.shape == plain.images.shape
    rows = np.random.default_rng(0).integers(len(plain), size=50)
    assert np.array_equal(stored[rows], plain.images[rows])
    assert np.array_equal(stored.only(rows)[rows[:9] % 50], plain.images[rows][rows[:9] % 50])
    assert stored[rows[:0]].shape == (0, 64, 64, 3)
