import json
from pathlib import Path

import numpy as np
import pytest

import envs
from envs.parameters import FIELDS


def write(folder: Path, text: str) -> Path:
    path = folder / "my_lab.yaml"
    path.write_text(text)
    return path


def test_the_suite_has_four_families_and_enough_targets() -> None:
    names = {domain.family: domain.name for domain in envs.suite(3)}
    assert set(names) == set(envs.domain.FAMILIES)
    assert len(envs.suite(3)) >= 20


@pytest.mark.parametrize("severity", range(6))
def test_every_domain_samples_within_bounds(severity: int) -> None:
    rng = np.random.default_rng(0)
    for domain in envs.suite(severity):
        for key, column in domain.sample_columns(rng, 20).items():
            if "low" in FIELDS[key].metadata:
                assert column.min() >= FIELDS[key].metadata["low"], (domain.label, key)
                assert column.max() <= FIELDS[key].metadata["high"], (domain.label, key)


@pytest.mark.parametrize("name", envs.domain_names())
def test_plain_values_hold_the_whole_domain(name: str) -> None:
    domain = envs.load_domain(name)
    again = envs.Domain.from_plain(json.loads(json.dumps(domain.to_plain())))
    assert again.label == domain.label
    for seed in range(5):
        assert again.sample(np.random.default_rng(seed)) == domain.sample(np.random.default_rng(seed))


def test_severity_zero_is_nominal() -> None:
    nominal = envs.load_domain("nominal").sample(np.random.default_rng(0))
    for domain in envs.suite(0):
        assert domain.sample(np.random.default_rng(0)) == nominal, domain.name


def test_a_user_file_extends_a_named_domain(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "name: my-lab\nextends: blur@2\ndynamics: {joint_kp_scale: 0.7}\n"
        "scene: {camera_position_offset_m: {uniform: [[0.08, 0.1, 0.03], [0.12, 0.14, 0.07]]}}\n"
        "sensing: {action_delay_steps: {choice: [1, 2]}}\n",
    )
    world = envs.load_domain(path).sample(np.random.default_rng(0))
    assert world.dynamics.joint_kp_scale == 0.7
    assert world.sensing.image_blur_sigma_px == 1.8
    assert world.sensing.action_delay_steps in (1, 2)
    assert 0.08 <= world.scene.camera_position_offset_m[0] <= 0.12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\ndynamic: {joint_kp_scale: 1}\n", ["dynamic", "'dynamics'"]),
        ("name: a\ndynamics: {joint_kp_scal: 1}\n", ["joint_kp_scal", "'joint_kp_scale'"]),
        ("name: a\ndynamics: {joint_kp_scale: {uniform: [2, 1]}}\n", ["upside down", "[2, 1]"]),
        ("name: a\ndynamics: {joint_kp_scale: 50}\n", ["50", "out of bounds", "5"]),
        ("name: a\ndynamics: {joint_kp_scale: .nan}\n", ["takes a number"]),
        ("name: a\ndynamics: {joint_kp_scale: {unifrom: [1, 2]}}\n", ["'uniform'"]),
        ("name: a\ndynamics: {joint_kp_scale: {log_uniform: [0.1]}}\n", ["list of two"]),
        ("name: a\nsensing: {action_delay_steps: {uniform: [0, 2]}}\n", ["choice"]),
        ("name: a\nsensing: {action_delay_steps: 1.5}\n", ["whole number"]),
        ("name: a\nappearance: {table_texture: bricks}\n", ["bricks", "'brick'"]),
        ("name: a\nscene: {camera_position_offset_m: 0.1}\n", ["list of 3"]),
        ("name: a\nextends: workshopp\n", ["'workshop'"]),
        ("name: a\nseverities: {1: {}}\n", ["1, 2, 3, 4 and 5"]),
        ("name: [a\n", ["YAML"]),
        ("extends: nominal\n", ["name"]),
    ],
)
def test_bad_files_are_named_with_what_would_be_right(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(envs.DomainError) as error:
        envs.load_domain(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("name", "word"), [("wrokshop", "'workshop'"), ("blur@9", "0 to 5"), ("no.yaml", "no.yaml")]
)
def test_unknown_names(name: str, word: str) -> None:
    with pytest.raises(envs.DomainError, match=word):
        envs.load_domain(name)
