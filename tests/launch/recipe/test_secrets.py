"""What looks like a secret is refused before it is stored or shown."""

from pathlib import Path
from typing import Any

import pytest
from recipe_files import write_recipe

from reprise.core.errors import UserError
from reprise.launch.recipe.loading import load, load_rewards

SECRET = "hunter2-hunter2"


def with_args(folder: Path, **args: Any) -> Path:
    return write_recipe(folder, rewards={"verifiers": {"exact": {"use": "mine:Verifier", "args": args}}})


@pytest.mark.parametrize(
    "args",
    [
        {"api_key": SECRET},
        {"apiKey": SECRET},
        {"parts": {"judge": {"args": {"request": {"headers": {"Authorization": SECRET}}}}}},
        {"headers": [{"X-Api-Key": SECRET}]},
        {"anything": f"Bearer {SECRET}"},
        {"db_password": SECRET},
        {"hf_token": SECRET},
        {"url": f"http://me:{SECRET}@sandbox:8080"},
        {"url": f"https://{SECRET}@host/path"},
    ],
)
def test_a_secret_is_refused_and_not_shown(tmp_path: Path, args: dict[str, Any]) -> None:
    for read in (load, load_rewards):
        with pytest.raises(
            UserError, match=r"small\.yaml:\d+: rewards\.verifiers\.exact\.args\..* refused: a recipe"
        ) as refused:
            read(with_args(tmp_path, **args))
        assert SECRET not in str(refused.value)


def test_a_secret_on_the_command_line_is_not_said_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--set rewards\.verifiers\.exact\.args\.api_key: ") as refused:
        load(with_args(tmp_path), [f"rewards.verifiers.exact.args.api_key={SECRET}"])
    assert SECRET not in str(refused.value)


def test_a_secret_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    source = {"generator": "recipe_files:tasks", "args": {"password": SECRET}}
    with pytest.raises(UserError, match=r"data\.train\.0\.args\.password"):
        load(write_recipe(tmp_path, data={"train": [source]}))


def test_what_only_resembles_a_secret_is_fine(tmp_path: Path) -> None:
    args = {
        "api_key_file": "/run/secrets/judge", "max_tokens": "9", "token": "<eos>", "api_key": None, "secret": 3,
        "url": "http://host:8000/a@b", "rubric": "Bearer of the ring", "key": "x",
    }  # fmt: skip
    load(with_args(tmp_path, **args))
