"""The demo's conversations: what RL will sample, seeded and on their side of the split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from worked_problems import worked

from reprise.core.errors import UserError
from reprise.data.demo.conversations import conversations, record
from reprise.data.sft.records import check_record
from reprise.data.sft.rendering import ConversationCodec
from reprise.models.characters import CHARACTERS
from reprise.models.tiny import MARKS
from reprise.rollout.chat import ChatCodec

SIZES: dict[str, dict[str, Any]] = {
    "addition": {"digits": [1, 3]},
    "reverse": {"letters": [2, 5]},
    "constrained": {"length": [3, 6], "required": [1, 2], "forbidden": [1, 3]},
}
STYLES = {"clean": 0.3, "sloppy": 0.4, "direct": 0.3}


@pytest.mark.parametrize("style", list(STYLES))
@pytest.mark.parametrize("domain", list(SIZES))
def test_a_demo_conversation_is_token_by_token_what_rl_samples(domain: str, style: str, tiny_policy: Path) -> None:
    rl, sft = ChatCodec(tiny_policy), ConversationCodec(tiny_policy)
    for trace in worked(domain, SIZES[domain], style, 10):
        prompt = rl.prompt_ids(trace.task)
        encoded = sft.encode(check_record(record(*trace), ""))
        response = encoded.ids[len(prompt) :]
        assert encoded.ids.tolist() == [*prompt.tolist(), *response.tolist()]
        assert encoded.trainable.tolist() == [False] * len(prompt) + [True] * len(response)
        assert response[-1] in rl.stop_ids
        assert rl.text(prompt, response) == trace.response


@pytest.mark.parametrize("domain", list(SIZES))
def test_demo_conversations_are_seeded_and_keep_the_split(domain: str, tiny_policy: Path) -> None:
    def make(seed: int, split: str, styles: dict[str, float] = STYLES) -> list[dict[str, Any]]:
        return list(conversations(seed, 80, domain, split, styles, 0.2, SIZES[domain]))  # type: ignore[arg-type]

    assert make(0, "train") == make(0, "train") != make(1, "train")
    train, held_out = ({r["messages"][0]["content"] for r in make(1, split)} for split in ("train", "held_out"))
    assert not train & held_out
    assert {r["style"] for r in make(0, "train")} == set(STYLES)
    direct = make(0, "train", {"direct": 1.0})
    assert all("<think></think>" in r["messages"][1]["content"] for r in direct)
    known = {*CHARACTERS, *"".join(MARKS)}
    assert all(set(r["messages"][1]["content"]) <= known for r in direct)


def test_wrong_arguments_of_demo_conversations_are_refused() -> None:
    with pytest.raises(UserError, match="domain is 'sums'; it can be addition, reverse"):
        list(conversations(0, 1, "sums", "train", STYLES, 0.2, {}))
    with pytest.raises(UserError, match="styles names neat; there are clean, sloppy, direct"):
        list(conversations(0, 1, "addition", "train", {"neat": 1}, 0.2, SIZES["addition"]))
