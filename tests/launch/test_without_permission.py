"""Files of somebody else are named, with the reason, and never taken for absent or damaged ones alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from recipe_files import write_policy_folder

from reprise.core.errors import UserError
from reprise.data.settings import DataSettings
from reprise.data.sft.reading import files_of
from reprise.data.sft.settings import SftSource
from reprise.data.tasks import check_sources
from reprise.launch.placement.disk import check_disk
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.verify import answers
from reprise.models.policy import check_model_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become somebody else")


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody may enter."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path


def refused(what: Callable[..., Any], *arguments: Any) -> str:
    with as_nobody(), pytest.raises(UserError) as refused:
        what(*arguments)
    return str(refused.value)


@pytest.mark.parametrize(("part", "said"), [
    (".", "policy.path: {} cannot be read: Permission denied"),
    ("model.safetensors", "policy.path: {}/model.safetensors is not a readable safetensors file ([Errno 13] Perm"),
    ("config.json", "{}/config.json is not the configuration of a transformers model: [Errno 13] Permission denied"),
])  # fmt: skip
def test_a_policy_that_may_not_be_read(open_folder: Path, part: str, said: str) -> None:
    folder = write_policy_folder(open_folder / "policy")
    check_model_folder(folder, "policy.path")
    (folder / part).chmod(0o700 if part == "." else 0o600)
    assert refused(check_model_folder, folder, "policy.path").startswith(said.format(folder))


def test_a_task_file_that_may_not_be_read(open_folder: Path) -> None:
    file = open_folder / "t.jsonl"
    file.write_text("{}")
    file.chmod(0o600)
    settings = DataSettings.model_validate({"train": [{"path": str(file)}]})
    assert refused(check_sources, settings, print) == f"{file} cannot be read: Permission denied"


@pytest.mark.parametrize("read", [
    lambda file: check_sources(DataSettings.model_validate({"train": [{"path": str(file)}]}), print),
    lambda file: files_of(SftSource(name="s", path=str(file))),
    lambda file: answers.check(file, {}),
], ids=["tasks", "conversations", "answers"])  # fmt: skip
def test_data_in_a_folder_that_may_not_be_entered(open_folder: Path, read: Callable[[Path], object]) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    file = open_folder / "closed" / "t.jsonl"
    file.write_text("{}")
    assert refused(read, file) == f"{file} cannot be read: Permission denied"


def test_a_runs_folder_that_may_not_be_entered(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    runs = open_folder / "closed" / "runs"
    assert refused(RunFolder.create, str(runs), "x") == (
        f"runs_dir {runs}: no folder for the run 'x' can be made in it: Permission denied"
    )
    with as_nobody():
        check_disk(str(runs), 0)  # whose answer is about the real user, root here: it only must not crash
