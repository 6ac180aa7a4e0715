from __future__ import annotations

import sys
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
        ("reprise.buffer.no_such:x", r"there is no module 'reprise\.buffer\.no_such'"),
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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("models.tiny:build", "reprise.models.tiny:build"),
        ("data.demo.addition:tasks", "reprise.data.demo.addition:tasks"),
        ("rewards.maths:MathsVerifier", "reprise.rewards.verifiers.maths:MathsVerifier"),
        ("buffer.types:Task", "reprise.core.types:Task"),
    ],
)
def test_a_path_of_before_the_packages_had_one_name_is_told_the_new_one(old: str, new: str) -> None:
    with pytest.raises(UserError, match=f"^policy.build: '{old}' is now {new}$"):
        resolve(old, "policy.build")


@pytest.mark.parametrize("files", [["data/__init__.py", "data/mine.py"], ["data/mine.py"]])
def test_a_package_of_ones_own_may_have_the_name_of_one_of_ours(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    for file in files:
        (tmp_path / file).write_text("x = 3\n")
    checkout = Path(__file__).resolve().parents[2]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(p for p in sys.path if Path(p).resolve() != checkout)])
    try:
        assert resolve("data.mine:x", "a test") == 3
    finally:
        sys.modules.pop("data.mine", None), sys.modules.pop("data", None)


def test_a_plug_in_that_lacks_a_dependency_names_the_dependency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug_in_without_dependency.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="imports a module that is missing: 'not_installed_anywhere'"):
        resolve("plug_in_without_dependency:x", "the loss")


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (
            "1 / 0\n",
            r'plug_in_that_raises.py", line 1, in <module>\n    1 / 0\n[ ~^]*\n?ZeroDivisionError: division by zero$',
        ),
        ("x = (\n", r"plug_in_that_raises.py\", line 1\n(.*\n)*SyntaxError: '\(' was never closed$"),
        ("import sys\nsys.exit(7)\n", r"line 2, in <module>\n    sys.exit\(7\)\nSystemExit: 7$"),
    ],
)
def test_what_a_plug_in_raises_is_shown_with_its_traceback_and_what_it_was_given_for(
    code: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug_in_that_raises.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for path in ("plug_in_that_raises:x", f"{tmp_path}/plug_in_that_raises.py:x"):
        with pytest.raises(UserError, match=f"^the loss: '{path}' cannot be imported:\n(.*\n)*.*{shown}") as raised:
            resolve(path, "the loss")
        assert "core/plugins.py" not in str(raised.value)
        assert "importlib" not in str(raised.value)


def test_a_file_is_named_by_its_path_and_finds_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rewards.py").write_text("from beside_rewards import x\n\nclass Mine:\n    y = x\n")
    (tmp_path / "beside_rewards.py").write_text("x = 3\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    mine = resolve("./rewards.py:Mine", "the verifier 'mine'")
    assert mine.y == 3
    assert resolve(f"{tmp_path}/rewards.py:Mine", "again") is mine, "imported once"
    with pytest.raises(UserError, match=r"'\./rewards\.py' has no 'Mine2'; did you mean 'Mine'\?"):
        resolve("./rewards.py:Mine2", "the verifier 'mine'")


def test_a_file_that_is_not_there_or_raises_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=f"cannot import '{tmp_path}/no.py:x': {tmp_path}/no.py: it is not there.*in the folder that"
    ):
        resolve(f"{tmp_path}/no.py:x", "the loss")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(UserError, match="ZeroDivisionError"):
            resolve(f"{tmp_path}/raises.py:x", "the loss")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UserError, match=r"/folder\.py: is a folder; correct the path"):
        resolve(f"{tmp_path}/folder.py:x", "the loss")
