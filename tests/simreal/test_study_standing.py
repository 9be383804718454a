"""What a person sees of a study while it runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from simreal.check.candidates import ZERO_SHOT
from simreal.study import Source, Table, cell
from simreal.study.standing import Standing, watched
from simreal.targets import parse_target


@pytest.fixture(scope="module")
def source(smoke_run: Path) -> Source:
    return Source.of_run(smoke_run)


def shown(terminal: bool, source: Source, table: Table, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what is printed while two of three cells are done, one of them refused."""
    target = parse_target("blur@3", source.env_id)
    cells = [cell(target, name, 0, seed) for name in (ZERO_SHOT, "coral") for seed in range(2)]
    table.add(cells[0].row(source) | {"success_rate": 0.5})
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=80, highlight=False)
    for module in ("simreal.progress", "simreal.study.standing"):
        monkeypatch.setattr(f"{module}.console", console)
    with watched("study", {each.key(source): each for each in cells}, table) as told:
        told(cells[1], 1.0)
        told(cells[2], None)
    return stream.getvalue()


def test_a_terminal_shows_means_and_counts(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(True, source, Table(tmp_path / "t.parquet"), monkeypatch)
    assert "blur@3" in text
    assert "0.75 2/2" in text
    assert "- 1/2" in text


def test_a_log_has_plain_lines(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(False, source, Table(tmp_path / "t.parquet"), monkeypatch)
    assert text.splitlines()[:2] == [
        "  study: 1 of 3 cells, 0 min left",
        "  study: 2 of 3 cells, 0 min left",
    ]
    assert "blur@3" not in text
    assert "\x1b" not in text


def test_the_longer_list_goes_down(source: Source, tmp_path: Path) -> None:
    targets = [parse_target(name, source.env_id) for name in ("blur@1", "blur@2", "blur@3")]
    table = Table(tmp_path / "t.parquet")
    for names, columns in (((ZERO_SHOT,), 2), ((ZERO_SHOT, "coral", "mmd", "rsd"), 4)):
        cells = [cell(target, name, 0, 0) for target in targets for name in names]
        grid = Standing({each.key(source): each for each in cells}, table).__rich__()
        assert len(grid.columns) == columns
        assert grid.row_count == max(len(targets), len(names))
