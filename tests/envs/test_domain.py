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


_DEGREES = (f"  {degree}: {{sensing: {{image_blur_sigma_px: {degree}}}}}\n" for degree in range(1, 6))
SEVERITIES = "severities:\n" + "".join(_DEGREES)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("name: my lab 2\n", {}),
        ("name: a\nextends:\ndescription:\nfamily:\ninert_for:\nseverities:\ndynamics:\n", {}),
        ("name: a\nextends: blur\n", {"sensing": {"image_blur_sigma_px": 2.6}}),
        (f"name: a\n{SEVERITIES}", {"sensing": {"image_blur_sigma_px": 3.0}}),
        (f"name: a\nextends: blur@5\n{SEVERITIES}", {"sensing": {"image_blur_sigma_px": 3.0}}),
        ("name: a\nseverities: {1: , 2: , 3: {sensing: }, 4: , 5: }\n", {}),
        ("name: a\ninert_for: [reach, push]\n", {}),
        ("name: a\nscene: {distractor_count: 3.0}\n", {"scene": {"distractor_count": 3}}),
        ("name: a\ndynamics: {joint_kp_scale: 1e-1}\n", {"dynamics": {"joint_kp_scale": 0.1}}),
        (
            "name: a\nscene: {distractor_count: {choice: [1.0, 2]}}\n",
            {"scene": {"distractor_count": {"choice": [1, 2]}}},
        ),
        (
            "name: a\nappearance: {white_balance: {log_uniform: [[0.5, 0.5, 0.5], [2, 2, 2]]}}\n",
            {"appearance": {"white_balance": {"log_uniform": [[0.5] * 3, [2.0] * 3]}}},
        ),
        (
            "name: a\nappearance: {table_rgb: {choice: [[0, 0, 0], [1, 1, 1]]}}\n",
            {"appearance": {"table_rgb": {"choice": [[0.0] * 3, [1.0] * 3]}}},
        ),
        (
            "name: a\nappearance: {table_rgb: {normal: [[0, 1, 0], [1, 1, 1]], "
            "clip: [[0, 0, 0], [1, 1, 1]]}}\n",
            {
                "appearance": {
                    "table_rgb": {"normal": [[0.0, 1.0, 0.0], [1.0] * 3], "clip": [[0.0] * 3, [1.0] * 3]}
                }
            },
        ),
        (
            "name: a\ndynamics: &d {payload_kg: 1}\nseverities: {1: {dynamics: {<<: *d, payload_kg: 2}}, "
            "2: , 3: , 4: , 5: }\n",
            {"dynamics": {"payload_kg": 1.0}},
        ),
    ],
)
def test_what_people_write_means_what_they_expect(
    tmp_path: Path, text: str, values: dict[str, object]
) -> None:
    domain = envs.load_domain(write(tmp_path, text))
    plain = domain.to_plain()
    assert {group: plain[group] for group in plain if group not in ("name", "severity")} == values
    assert plain["severity"] == 3
    again = envs.Domain.from_plain(json.loads(json.dumps(plain)))
    for seed in range(5):
        assert again.sample(np.random.default_rng(seed)) == domain.sample(np.random.default_rng(seed))


def test_files_extend_files_by_relative_path(tmp_path: Path) -> None:
    folder = tmp_path / "severities"  # a name that also is a key
    folder.mkdir()
    (folder / "bench.yaml").write_text(f"name: bench\nextends: ../room.yml\n{SEVERITIES}")
    (tmp_path / "room.yml").write_text("name: room\ndynamics: {payload_kg: 2}\n")
    path = write(folder, "name: mine\nextends: bench.yaml@4\nscene: {distractor_count: 0}\n")
    world = envs.load_domain(path).sample(np.random.default_rng(0))
    assert world.dynamics.payload_kg == 2
    assert world.sensing.image_blur_sigma_px == 4
    assert world.scene.distractor_count == 0


def test_a_file_without_severities_has_only_the_one_of_its_label(tmp_path: Path) -> None:
    path = write(tmp_path, "name: my-lab\ndynamics: {payload_kg: 2}\n")
    assert envs.load_domain(path).label == envs.load_domain(f"{path}@3").label == "my-lab@3"
    with pytest.raises(envs.DomainError, match="no my-lab@0, only my-lab@3"):
        envs.load_domain(f"{path}@0")
    own = tmp_path / "nominal.yaml"
    own.write_text("name: mine\ndynamics: {payload_kg: 2}\n")
    assert envs.load_domain(own).label == "mine@3"


@pytest.mark.parametrize("content", [b"name: \xff", "name: a\n".encode("utf-16"), b"name: a\0"])
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "my_lab.yaml"
    path.write_bytes(content)
    with pytest.raises(envs.DomainError, match=r"my_lab\.yaml: not readable as YAML"):
        envs.load_domain(path)


def test_a_folder_and_an_unreadable_file_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab.yaml").mkdir()
    with pytest.raises(envs.DomainError, match="is a folder"):
        envs.load_domain(tmp_path / "lab.yaml")
    path = write(tmp_path, "name: a\n")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(envs.DomainError, match=r"my_lab\.yaml: cannot be read: Permission denied"):
        envs.load_domain(path)


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
        ("extends: nominal\n", ["name", "my-lab"]),
        # what a stranger may write
        ("name: a\ndynamics: {joint_kp_scale: 1}\ndynamics: {payload_kg: 1}\n", ["'dynamics'", "twice", "3"]),
        ("name: a\ndynamics:\n  payload_kg: 1\n  payload_kg: 2\n", ["'payload_kg'", "twice", "line 4"]),
        ("name: a\ndynamics:\n\tpayload_kg: 1\n", ["line 3", "indent with spaces"]),
        ("name: a\ndynamics: !!python/object/apply:os.getcwd []\n", ["line 2", "python/object"]),
        (f"name: a\ndynamics: {'[' * 2000}{']' * 2000}\n", ["nested too deeply"]),
        (f"name: a\ndynamics: {{payload_kg: {'9' * 5000}}}\n", ["YAML", "4300 digits"]),
        ("- name: a\n", ["mapping", "[{'name': 'a'}]"]),
        ("", ["mapping", "nothing"]),
        ("name: 3\n", ["name", "3", "my-lab"]),
        ("name: a@3\n", ["name", "'a@3'", "my-lab"]),
        ('name: "a\\nb"\n', ["name", "my-lab"]),
        ("name: a\nseverity: 3\n", ["'severity'", "'severities'"]),
        ("name: a\nextend: blur\n", ["'extend'", "'extends'"]),
        ("name: a\nextends: [blur, glare]\n", ["extends", "one domain", "['blur', 'glare']"]),
        ("name: a\nextends: ''\n", ["extends", "one domain"]),
        ("name: a\nextends: blur@9\n", ["extends", "'9'", "0 to 5"]),
        ("name: a\nextends: other.yaml\n", ["extends", "'other.yaml'", "no such"]),
        ("name: a\nextends: my_lab.yaml\n", ["extends itself"]),
        ("name: a\ndescription: 3\n", ["description", "text", "3"]),
        ("name: a\nfamily: [sensing]\n", ["family", "['sensing']", "'sensing'"]),
        ("name: a\ninert_for: reach\n", ["inert_for", "[reach]", "'reach'"]),
        ("name: a\njoint_kp_scale: 1\n", ["'joint_kp_scale'", "belongs to dynamics"]),
        ("name: a\nsensing: {joint_kp_scale: 1}\n", ["sensing", "'joint_kp_scale'", "belongs to dynamics"]),
        ("name: a\ndynamics: [payload_kg]\n", ["dynamics", "mapping", "['payload_kg']"]),
        ("name: a\ndynamics: {3: 1}\n", ["dynamics", "3", "payload_kg"]),
        ("name: a\nseverities: {1: , 2: , 4: , 5: }\n", ["1, 2, 3, 4 and 5", "not 1, 2, 4, 5"]),
        ("name: a\nseverities: {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}\n", ["severities: 1", "groups"]),
        ("name: a\nseverities: {1: , 2: , 3: , 4: , 5: {sensing: {x: 1}}}\n", ["severities: 5", "'x'"]),
        ("name: a\nseverities: false\n", ["severities", "False"]),
        ('name: a\ndynamics: {joint_kp_scale: "0.7"}\n', ["joint_kp_scale", "'0.7'", "write 0.7"]),
        ('name: a\ndynamics: {joint_kp_scale: "1e-1"}\n', ["joint_kp_scale", "'1e-1'", "write 0.1"]),
        ("name: a\ndynamics: {joint_kp_scale: true}\n", ["joint_kp_scale", "a number", "True"]),
        ("name: a\ndynamics: {joint_kp_scale: }\n", ["joint_kp_scale", "a number", "None"]),
        ("name: a\ndynamics: {joint_kp_scale: 1.0e+300}\n", ["joint_kp_scale", "1e+300", "0.02 to 5"]),
        (f"name: a\nscene: {{distractor_count: {'9' * 400}}}\n", ["distractor_count", "a number", "999..."]),
        (
            f"name: a\nscene: {{distractor_count: 0x{'f' * 9000}}}\n",
            ["thousands of digits"],
        ),
        ("name: a\ndynamics: {joint_kp_scale: [0.5, 1]}\n", ["joint_kp_scale", "{uniform: [0.5, 1]}"]),
        ("name: a\nscene: {distractor_count: [1, 2]}\n", ["distractor_count", "{choice: [1, 2]}"]),
        (f"name: a\ndynamics: {{joint_kp_scale: [{'1, ' * 3000}]}}\n", ["joint_kp_scale", "1, ...]"]),
        ("name: a\ndynamics: {joint_kp_scale: {uniform: [1]}}\n", ["joint_kp_scale", "[low, high]", "[1]"]),
        ("name: a\ndynamics: {joint_kp_scale: {uniform: {low: 1, high: 2}}}\n", ["[low, high]", "'low': 1"]),
        ("name: a\ndynamics: {joint_kp_scale: {normal: [1, 0.1]}}\n", ["clip: [low, high]"]),
        ("name: a\ndynamics: {joint_kp_scale: {uniform: [0.5, 1], clip: [0, 1]}}\n", ["clip", "uniform"]),
        ("name: a\ndynamics: {joint_kp_scale: {}}\n", ["exactly one of"]),
        ("name: a\nappearance: {table_texture: [brick]}\n", ["table_texture", "['brick']", "'brick'"]),
        (
            "name: a\nappearance: {table_texture: {choice: [{a: 1}]}}\n",
            ["{'a': 1}", "brick"],
        ),
        ("name: a\nappearance: {table_texture: {choice: brick}}\n", ["table_texture", "a list of options"]),
    ],
)
def test_bad_files_are_named_with_what_would_be_right(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(envs.DomainError) as error:
        envs.load_domain(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 450
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("wrokshop", "'workshop'"),
        ("blur@9", "0 to 5"),
        ("no.yaml", "no.yaml"),
        ("nominal@3", "only nominal@0"),
        ("", "workshop"),
        ("x" * 5000 + ".yaml", "no such domain file"),
        (str(Path(__file__).parent), "ends in .yaml"),
        (__file__, "ends in .yaml"),
    ],
)
def test_unknown_names(name: str, word: str) -> None:
    with pytest.raises(envs.DomainError, match=word):
        envs.load_domain(name)
