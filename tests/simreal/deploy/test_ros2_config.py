from pathlib import Path

import pytest

from simreal.deploy.ros2_config import SERVED_FINGERS, Ros2Config
from simreal.errors import SimrealError

JOINTS = ("a", "b")


def test_a_file_says_what_differs_from_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(
        "joints: [left_a, left_b]\nfingers: [f]\nfingers_commanded: true\nimages: null\ndomain: 7\n"
        "commands: arm/commands\nconnect_s: 3\nstamps_trusted: false\n"
    )
    assert Ros2Config.read(path, JOINTS) == Ros2Config(
        ("left_a", "left_b"),
        ("f",),
        fingers_commanded=True,
        images=None,
        domain=7,
        commands="arm/commands",
        connect_s=3.0,
        stamps_trusted=False,
    )
    path.write_text("camera: front")
    assert Ros2Config.read(path, JOINTS) == Ros2Config(JOINTS, camera="front")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image: x", "unknown key 'image'; .*images"),
        ("lock_step: true", "unknown key 'lock_step'"),
        ("joints: a", "joints: takes a list of names, not 'a'"),
        ("joints: []", "joints: takes the names"),
        ("fingers: [a]", "'a' is named twice"),
        ("fingers_commanded: true", "fingers names none"),
        ("domain: seven", "domain: takes a whole number, not 'seven'"),
        ("stamps_trusted: 1", "stamps_trusted: takes true or false, not 1"),
        ("connect_s: 0", "connect_s: takes a number above 0"),
        ("states: 3", "states: takes a name, not 3"),
        ("- a", "takes a mapping"),
    ],
)
def test_what_cannot_be_is_named_with_its_file(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(SimrealError, match=rf"^{path}: .*{words}"):
        Ros2Config.read(path, JOINTS)


def test_a_server_and_its_loop_agree_on_names() -> None:
    config = Ros2Config.of_server(JOINTS)
    assert config.fingers == SERVED_FINGERS
    assert config.fingers_commanded
