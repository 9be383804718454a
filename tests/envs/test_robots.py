import tempfile
from pathlib import Path

import pytest

from envs.robots import PANDA
from envs.robots.base import load_robot
from envs.simulation import connect


def test_loading_leaves_no_file_that_another_user_or_process_could_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = connect()
    first, second = load_robot(client, PANDA), load_robot(client, PANDA)
    assert client.getNumJoints(first) == client.getNumJoints(second) == 12
    assert list(tmp_path.iterdir()) == []
    client.disconnect()


def test_a_robot_looks_like_its_collision_meshes() -> None:
    client = connect()
    body = load_robot(client, PANDA)
    seen = {shape[1]: shape[4].decode() for shape in client.getVisualShapeData(body)}
    solid = {
        link: shape[4].decode()
        for link in range(-1, client.getNumJoints(body))
        for shape in client.getCollisionShapeData(body, link)
    }
    assert seen == solid
    assert len(seen) == 11  # eight of the arm, the hand and two fingers
    client.disconnect()
