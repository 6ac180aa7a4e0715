"""Files that are replaced whole or not at all."""

import stat
from pathlib import Path

import pytest

from reprise.core.files import draft_of, replacing, write_atomically


def test_what_could_not_be_replaced_whole_stays_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "v"
    path.write_text("old")

    def replace() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        replace()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_a_file_that_a_library_makes_by_its_name_takes_the_place_too(tmp_path: Path) -> None:
    path = tmp_path / "v"
    path.write_text("old")
    with draft_of(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_a_file_keeps_its_mode_and_a_new_one_has_what_the_umask_leaves(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    write_atomically(tmp_path / "new", "text")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    (tmp_path / "new").chmod(0o640)
    write_atomically(tmp_path / "new", "other")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, "old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
