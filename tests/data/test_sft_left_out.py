"""What a chat template leaves out is not trained on in silence, and what a record says is untrained is not trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.data.sft.records import check_record
from reprise.data.sft.rendering import ConversationCodec
from reprise.models import tiny
from reprise.models.motif2.build import build

PLAIN = (
    "{% for m in messages %}{{ '<|user|>' if m['role'] != 'assistant' else '<|assistant|>' }}{{ m['content'] }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# Writes everything, with tools and calls as JSON.
WHOLE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}"
    "{{ '<|user|>' if m['role'] != 'assistant' else '<|assistant|>' }}"
    "{% if m['reasoning_content'] %}{{ m['reasoning_content'] }}{% endif %}{{ m['content'] }}"
    "{% for c in m['tool_calls'] or [] %}{{ c['function'] | tojson }}{% endfor %}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|assistant|>' }}{% generation %}{{ m['content'] }}"
    "{{ eos_token }}{% endgeneration %}{% else %}{{ '<|user|>' + m['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CALL = {"function": {"name": "sky", "arguments": {"city": "Oslo"}}}
TOOLS = [{"type": "function", "function": {"name": "sky"}}]
USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}


@pytest.fixture
def codec(tmp_path: Path) -> Any:
    """Makes a codec with a chat template."""

    def made(template: str, turns: Any = "all", rows: int | None = None) -> ConversationCodec:
        tokenizer = tiny.character_tokenizer()
        tokenizer.chat_template = template
        tokenizer.save_pretrained(tmp_path)
        return ConversationCodec(tmp_path, turns, rows)

    return made


def trained(codec: ConversationCodec, *messages: Any, **keys: Any) -> str:
    """The text that is trained on."""
    encoded = codec.encode(check_record({"messages": list(messages), **keys}, "r:1"), "r:1")
    return str(codec._tokenizer.decode(encoded.ids[encoded.trainable], skip_special_tokens=True))


@pytest.mark.parametrize(
    ("message", "keys", "part"),
    [
        ({"content": None, "tool_calls": [CALL]}, {}, r"messages\[1\]\.tool_calls"),
        ({"content": "x", "tool_calls": [CALL, CALL]}, {}, r"messages\[1\]\.tool_calls\[0\]"),
        ({"content": "4", "reasoning_content": "two and two"}, {}, r"messages\[1\]\.reasoning_content"),
        ({"content": "4"}, {"tools": TOOLS}, "tools"),
    ],
)
def test_what_a_template_leaves_out_is_refused_with_the_record(
    codec: Any, message: dict[str, Any], keys: dict[str, Any], part: str
) -> None:
    with pytest.raises(UserError, match=rf"^r:1: the chat template of .* leaves out {part}, so that the policy would"):
        trained(codec(PLAIN), USER, {"role": "assistant", **message}, **keys)
    assert trained(codec(WHOLE), USER, {"role": "assistant", **message}, **keys)


@pytest.mark.parametrize(
    ("template", "part"),
    [
        (WHOLE.replace("m['tool_calls'] or []", "(m['tool_calls'] or [])[:1]"), r"tool_calls\[1\]"),
        (WHOLE.replace("c['function'] | tojson", "c['function']['name']"), r"tool_calls\[0\]\.arguments"),
        (WHOLE.replace("{{ m['content'] }}", "{% if not m['tool_calls'] %}{{ m['content'] }}{% endif %}"), "content"),
    ],
)
def test_a_part_of_a_turn_that_is_left_out_is_refused_too(codec: Any, template: str, part: str) -> None:
    """As templates do that write one call of several, or calls instead of what is said with them."""
    said = {"role": "assistant", "content": "I look.", "tool_calls": [CALL, CALL]}
    with pytest.raises(UserError, match=rf"leaves out messages\[1\]\.{part},"):
        trained(codec(template), USER, said)
    assert trained(codec(WHOLE), USER, said)


def test_a_message_that_is_left_out_is_refused(codec: Any) -> None:
    no_tool = WHOLE.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'tool' %}")
    calls = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    with pytest.raises(UserError, match=r"leaves out messages\[2\]\.content,"):
        trained(codec(no_tool), USER, calls, {"role": "tool", "content": "blue"}, ANSWER)


def test_reasoning_of_earlier_turns_may_be_left_out_where_only_the_last_is_trained(codec: Any) -> None:
    as_sampled = WHOLE.replace("{% if m['reasoning_content'] %}", "{% if m['reasoning_content'] and loop.last %}")
    turn = {**ANSWER, "reasoning_content": "sum"}
    assert trained(codec(as_sampled, "last"), USER, turn, USER, turn) == "sum4"
    with pytest.raises(UserError, match="writes the conversation up to here otherwise"):
        trained(codec(as_sampled, "all"), USER, turn, USER, turn)


def test_text_that_looks_like_structure_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """Motif-2's template reads `<think>` in contents; each part of what a policy may say is written."""
    codec = ConversationCodec(build(tmp_path, 0, num_hidden_layers=1))
    calls = {"role": "assistant", "content": "", "reasoning_content": "a", "tool_calls": [CALL, CALL]}
    last = {"role": "assistant", "content": "<think>b</think>c"}
    system = {"role": "system", "content": "s"}
    text = trained(codec, system, USER, calls, {"role": "tool", "content": "blue"}, last, tools=TOOLS)
    assert text.count("Oslo") == 2
    assert "b</think>c" in text


@pytest.mark.parametrize("template", [PLAIN, MARKED])
@pytest.mark.parametrize(
    ("weights", "turns", "expected"),
    [
        ((0, 1), "all", "right"),
        ((1, 0), "all", "wrong"),
        ((1, 1), "all", "wrongright"),
        ((0, 1), "last", "right"),
        ((1, 0), "last", "wrong"),
        ((0.0, None), "all", "right"),
    ],
)
def test_a_turn_of_weight_0_is_not_trained(
    codec: Any, template: str, weights: tuple[Any, Any], turns: str, expected: str
) -> None:
    wrong, right = ({"role": "assistant", "content": c, "weight": w} for c, w in zip(("wrong", "right"), weights))
    assert trained(codec(template, turns), USER, wrong, USER, right) == expected


def test_a_turn_that_is_not_trained_is_read_all_the_same(codec: Any) -> None:
    record = check_record({"messages": [USER, {**ANSWER, "weight": 0}, USER, ANSWER]}, "")
    assert record["untrained"] == [1]
    encoded = codec(PLAIN).encode(record)
    assert codec(PLAIN)._tokenizer.decode(encoded.ids, skip_special_tokens=True) == "2+2?42+2?4"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weight": 0.5}, r"messages\[1\]\.weight is 0\.5; it must be 0 \(not trained on\) or 1"),
        ({"weight": "0"}, r"messages\[1\]\.weight is the text '0'; it must be 0"),
        ({"weight": 0}, "messages has no assistant message whose weight is not 0, so there is nothing to learn"),
        ({"train": False}, r"messages\[1\] has 'train'; what says whether it is trained on is weight: 0 or 1"),
        ({"loss": 0}, r"messages\[1\] has 'loss'; what says"),
    ],
)
def test_weights_that_cannot_be_kept_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_record({"messages": [USER, {**ANSWER, **changes}]}, "r:1")


def test_a_token_without_an_embedding_is_refused_with_the_record(codec: Any) -> None:
    trained(codec(PLAIN, rows=106), USER, ANSWER)
    with pytest.raises(
        UserError, match=r"^r:1: the token '~' has id 105, for which the policy in .* \(vocab_size 105\)"
    ):
        trained(codec(PLAIN, rows=105), USER, {**ANSWER, "content": "~"})


def test_half_a_character_is_refused_with_the_record() -> None:
    with pytest.raises(UserError, match=r"^r:1: the text 'ok .*' ends in half of a surrogate pair \(\\ud83d\)"):
        check_record({"messages": [USER, {**ANSWER, "content": "ok \ud83d"}]}, "r:1")


def test_json_in_json_is_read_as_strictly() -> None:
    for text in ("[" * 5000, "1" * 5000, '{"a": 1, "a": 2}'):
        call = {"function": {"name": "f", "arguments": text}}
        with pytest.raises(UserError, match=r"^r:1: messages\[1\]\.tool_calls\[0\]\.function\.arguments is the text"):
            check_record({"messages": [USER, {"role": "assistant", "tool_calls": [call]}]}, "r:1")
