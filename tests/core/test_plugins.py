from __future__ import annotations

from pathlib import Path

import pytest

from reprise.core.errors import UserError
from reprise.core.plugins import resolve
from reprise.core.types import Group, Verdict


def test_a_dotted_path_names_an_attribute() -> None:
    assert resolve("reprise.core.types:Group", "a test") is Group
    assert resolve("reprise.core.types:Verdict.scored", "a test") == Verdict.scored


@pytest.mark.parametrize(
    ("dotted", "message"),
    [
        ("buffer.types.Group", "the loss: 'buffer.types.Group' is not a dotted path; write package.module:attribute"),
        ("buffer.types:", "is not a dotted path"),
        (":Group", "is not a dotted path"),
        ("no_such_package.module:x", "there is no module 'no_such_package'; install it or correct the path"),
        ("buffer.no_such:x", r"there is no module 'buffer\.no_such'"),
        ("reprise.core.types:Grop", "'reprise.core.types' has no 'Grop'; did you mean 'Group'"),
        ("os:system", "the loss: 'os:system' is a part of Python's own library"),
        ("os.path:join", "is a part of Python's own library"),
        ("subprocess:Popen", "is a part of Python's own library"),
        ("reprise.core.types:zzzzzz", "'reprise.core.types' has no 'zzzzzz'$"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_missing(dotted: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(dotted, "the loss")


def test_a_plug_in_that_lacks_a_dependency_names_the_dependency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug_in_without_dependency.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="imports a module that is missing: 'not_installed_anywhere'"):
        resolve("plug_in_without_dependency:x", "the loss")


def test_an_error_in_the_plug_in_itself_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plug_in_that_raises.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        resolve("plug_in_that_raises:x", "the loss")
