import json
from pathlib import Path

import pytest

from simreal.check.finished import Finished
from simreal.cli import main
from simreal.errors import SimrealError


def test_an_interrupted_check_trains_only_what_is_missing(smoke_run: Path, tmp_path: Path, capsys) -> None:
    bundles = ["--policy", str(smoke_run / "policy"), "--teacher", str(smoke_run / "teacher")]
    how = [
        "--method",
        "cotrain",
        "--source",
        str(smoke_run),
        "--preset",
        "smoke",
        "--target",
        "blur@1",
        "--out",
        str(tmp_path),
    ]
    arguments = ["check", *bundles, *how]
    assert main([*arguments, "--quiet"]) == 0
    path = tmp_path / "check.json"
    first, whole = json.loads((tmp_path / "result.json").read_text()), json.loads(path.read_text())
    whole["finished"]["zero-shot/1"]["success"] = 0.123  # believed, since it is not computed again
    del whole["finished"]["target-only/1"]
    path.write_text(json.dumps(whole))
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 0
    assert "2 trainings" in capsys.readouterr().err  # the missing one, and the one whose policy is shown
    second = json.loads((tmp_path / "result.json").read_text())
    assert second["check"]["candidates"]["zero-shot"][1] == 0.123
    assert second["check"]["candidates"]["target-only"] == first["check"]["candidates"]["target-only"]
    assert second["settings"] == first["settings"]
    assert main([*arguments, "--resume", "--demos", "3"]) == 2
    assert "kept with other settings" in capsys.readouterr().err


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    Finished(path, {"seed": 0}, resume=False).keep("a/0", [0.5, 10])
    assert Finished(path, {"seed": 0}, resume=True).get("a/0") == [0.5, 10]
    assert Finished(path, {"seed": 0}, resume=False).get("a/0") is None
    path.write_text(path.read_text()[:-20])
    with pytest.raises(SimrealError, match=r"check\.json: truncated"):
        Finished(path, {"seed": 0}, resume=True)
