"""Motif-2's chat template, end tokens and tool calls in its small tokenizer, and what is asked of the published one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from transformers import AutoTokenizer, GenerationConfig
from worked_problems import worked

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.demo.conversations import record
from reprise.data.sft.records import check_record
from reprise.data.sft.rendering import ConversationCodec
from reprise.models.motif2.build import build, config
from reprise.models.motif2.tokenizer import CHAT_TEMPLATE, MARKS, SPECIAL, small_tokenizer
from reprise.models.policy import policy_config
from reprise.models.settings import PolicySettings
from reprise.models.tiny import character_tokenizer
from reprise.rewards.parsing import after_reasoning
from reprise.rewards.verifiers.tools.parsing import Call, calls_in, find_blocks
from reprise.rollout.chat import ChatCodec

USER = {"role": "user", "content": "1+2="}
ADD = {"function": {"name": "add", "arguments": {"a": 1, "text": 'é"\n'}}}
TOOLS: list[dict[str, Any]] = [{"name": "add", "parameters": {"type": "object"}}, {"name": "sub"}]


def assistant(content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def rendered(*messages: dict[str, Any], **options: Any) -> str:
    return str(small_tokenizer().apply_chat_template(list(messages), tokenize=False, **options))


def test_the_generation_prompt_opens_turn_and_reasoning() -> None:
    assert rendered(USER, add_generation_prompt=True) == (
        "<|beginoftext|><|user|>1+2=<|endofturn|><|assistant|><think>"
    )


@pytest.mark.parametrize(
    ("message", "written"),
    [
        (assistant("<think>so</think>3"), "<think>so</think>3"),
        (assistant("\n<think>so</think>3"), "<think>so</think>3"),
        (assistant("so</think>3"), "<think>so</think>3"),
        (assistant("3", reasoning_content="so"), "<think>so</think>3"),
        (assistant("3", reasoning_content=""), "<think></think>3"),
        (assistant("3"), "<think></think>3"),
    ],
)
def test_an_answer_carries_its_reasoning_in_any_of_the_usual_ways(message: dict[str, Any], written: str) -> None:
    assert rendered(USER, message) == f"<|beginoftext|><|user|>1+2=<|endofturn|><|assistant|>{written}<|endofturn|>"


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"role": "critic", "content": "?"}], "roles system, user, assistant and tool, not critic"),
        ([USER, assistant("<think>so 3")], "is not closed by </think>"),
        (
            [USER, assistant("<think>so</think>3", reasoning_content="so")],
            "has reasoning_content and also reasoning in",
        ),
    ],
)
def test_what_the_template_cannot_write_is_refused(messages: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(jinja2.TemplateError, match=said):
        rendered(*messages)


def test_tools_stand_in_the_system_turn_as_json() -> None:
    definitions = "\n".join(["<tools>", *map(json.dumps, TOOLS), "</tools>"])
    system = {"role": "system", "content": "Be brief."}
    assert rendered(USER, tools=TOOLS) == (
        f"<|beginoftext|><|system|>{definitions}<|endofturn|><|user|>1+2=<|endofturn|>"
    )
    assert rendered(system, USER, system, tools=TOOLS) == (
        f"<|beginoftext|><|system|>Be brief.\n{definitions}<|endofturn|><|user|>1+2=<|endofturn|>"
        "<|system|>Be brief.<|endofturn|>"
    )
    assert rendered(system, USER) == "<|beginoftext|><|system|>Be brief.<|endofturn|><|user|>1+2=<|endofturn|>"


def test_tool_calls_are_what_the_tool_verifier_reads() -> None:
    as_text = {"name": "sub", "arguments": '{"a": [3]}'}
    bare = {"function": {"name": "now"}}
    text = rendered(USER, assistant(None, reasoning_content="so", tool_calls=[ADD, as_text, bare]))
    assert after_reasoning(text) == (
        '\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "text": "é\\"\\n"}}\n</tool_call>'
        '\n<tool_call>\n{"name": "sub", "arguments": {"a": [3]}}\n</tool_call>'
        '\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|endofturn|>'
    )
    assert calls_in(find_blocks(text, "tool_call"), "tool_call") == [
        Call("add", {"a": 1, "text": 'é"\n'}),
        Call("sub", {"a": [3]}),
        Call("now", {}),
    ]


def test_a_tool_s_answer_is_a_turn_of_its_own() -> None:
    assert rendered({"role": "tool", "content": "3"}) == (
        "<|beginoftext|><|tool|><tool_response>\n3\n</tool_response><|endofturn|>"
    )


def test_every_token_of_the_conventions_is_one_and_marks_stay_in_decoded_text() -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.encode("".join([*SPECIAL, *MARKS])) == list(range(len(SPECIAL) + len(MARKS)))
    text = "<think>1+2=3,\n é?</think>" + "".join(MARKS)
    ids = tokenizer.encode(f"{text}<|endofturn|><|endoftext|>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == text.replace("é", "")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endofturn|>", "<|endoftext|>")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("policy"), seed=0, num_hidden_layers=1)


def test_a_built_policy_ends_at_both_end_tokens_and_knows_its_ids(policy: Path) -> None:
    turn, text, begin = map(
        small_tokenizer().convert_tokens_to_ids, ["<|endofturn|>", "<|endoftext|>", "<|beginoftext|>"]
    )
    assert GenerationConfig.from_pretrained(policy).eos_token_id == [turn, text]
    made = config()
    assert (made.eos_token_id, made.pad_token_id, made.bos_token_id) == ([turn, text], text, begin)
    assert set(ChatCodec(policy).stop_ids) == {turn, text}
    assert AutoTokenizer.from_pretrained(policy).model_max_length == 256


def turns(policy: Path, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> list[str]:
    """The text of each run of trainable tokens, once the whole is seen to be the template's."""
    encoded = ConversationCodec(policy).encode(check_record({"messages": messages, "tools": tools}, ""))
    tokenizer: Any = AutoTokenizer.from_pretrained(policy)
    assert encoded.ids.tolist() == tokenizer.apply_chat_template(messages, tools=tools, return_dict=False)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], encoded.trainable.astype(int), [0]])))
    return [tokenizer.decode(encoded.ids[a:b]) for a, b in zip(edges[::2], edges[1::2])]


def test_every_turn_of_a_conversation_is_trained_on_from_after_the_opening_to_its_end(policy: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        USER,
        assistant("", reasoning_content="ask", tool_calls=[{"function": {"name": "add", "arguments": {"a": 1}}}]),
        {"role": "tool", "content": "3"},
        assistant("<think>it says 3</think><ans>3</ans>"),
        {"role": "user", "content": "Sure?"},
        assistant("Yes"),
    ]
    assert turns(policy, messages, TOOLS) == [
        'ask</think>\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|endofturn|>',
        "it says 3</think><ans>3</ans><|endofturn|>",
        "</think>Yes<|endofturn|>",
    ]


@pytest.mark.parametrize("style", ["clean", "direct"])
@pytest.mark.parametrize(
    ("domain", "sizes"), [("addition", {"digits": [1, 3]}), ("code", {"steps": [1, 2], "tests": 2})]
)
def test_a_demo_conversation_is_token_by_token_what_rl_samples(
    policy: Path, domain: str, sizes: dict[str, Any], style: str
) -> None:
    rl, sft = ChatCodec(policy), ConversationCodec(policy)
    unknown = AutoTokenizer.from_pretrained(policy).unk_token_id
    for trace in worked(domain, sizes, style, 10):
        prompt = rl.prompt_ids(trace.task)
        encoded = sft.encode(check_record(record(*trace), ""))
        response = encoded.ids[len(prompt) :]
        assert encoded.ids.tolist() == [*prompt, *response]
        assert encoded.trainable.tolist() == [False] * len(prompt) + [True] * len(response)
        assert response[-1] in rl.stop_ids
        assert unknown not in encoded.ids
        assert rl.text(prompt, response) == trace.response


def test_an_unknown_role_is_an_error_of_the_record(policy: Path) -> None:
    with pytest.raises(jinja2.TemplateError, match="not critic"):
        ChatCodec(policy).prompt_ids(Task("t", [{"role": "critic", "content": "?"}], "d", "v"))
    broken = {"messages": [USER, assistant("<think>so 3")]}
    with pytest.raises(UserError, match=r"r\.jsonl:1: the chat template refuses .* is not closed by </think>"):
        ConversationCodec(policy).encode(check_record(broken, ""), "r.jsonl:1")


Published = Callable[..., str]


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """A folder that could be the published tokenizer's, with something done to the tokenizer before."""

    def save(change: Callable[[Any], None] = lambda _: None, tokenizer: Any = None) -> str:
        tokenizer = small_tokenizer() if tokenizer is None else tokenizer
        tokenizer.add_tokens([f"<word {i}>" for i in range(50)])
        change(tokenizer)
        tokenizer.save_pretrained(tmp_path / "published")
        return str(tmp_path / "published")

    return save


def test_a_published_tokenizer_is_copied_and_its_vocabulary_rounded_up(published: Published, tmp_path: Path) -> None:
    folder = published()
    arguments: dict[str, Any] = {"preset": "tiny8", "tokenizer": folder, "num_hidden_layers": 1}
    built = build(tmp_path / "policy", 0, **arguments)
    made = policy_config(PolicySettings(path=str(built)))
    described = policy_config(PolicySettings(build="reprise.models.motif2.build:build", build_args=arguments))
    assert made is not None
    assert described is not None
    assert made.vocab_size == described.vocab_size == 256
    assert made.eos_token_id == described.eos_token_id == [2, 0]
    copied, original = (AutoTokenizer.from_pretrained(path) for path in (built, folder))
    assert len(copied) == len(original) == 164
    assert copied.get_vocab() == original.get_vocab()
    assert copied.chat_template == CHAT_TEMPLATE
    assert copied.model_max_length == original.model_max_length


def test_the_published_shapes_keep_their_vocabulary_and_take_a_tokenizer_s_ids(published: Published) -> None:
    plain, described = config(preset="12p7b"), config(preset="12p7b", tokenizer=published())
    assert plain.vocab_size == described.vocab_size == 219_520
    assert (plain.eos_token_id, described.eos_token_id) == (None, [2, 0])


def test_padding_without_a_pad_token_is_the_end_of_text(published: Published) -> None:
    def forget(tokenizer: Any) -> None:
        tokenizer.pad_token = None

    assert config(tokenizer=published(forget)).pad_token_id == 0


def templated(template: str | None) -> Callable[[Any], None]:
    def change(tokenizer: Any) -> None:
        tokenizer.chat_template = template

    return change


OPEN = "{{ '<|assistant|><think>' }}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (templated(None), r"the tokenizer has no chat template; add chat_template\.jinja"),
        (templated("{{ '<|assistant|>' }}"), r"ends with '<\|assistant\|>' and not with an opened <think>"),
        (templated("{{ '<think></think>' }}"), "not with an opened <think>"),
        (templated("{{ raise_exception('only systems') }}"), "refuses a user's message: only systems"),
    ],
)
def test_a_published_tokenizer_of_another_template_is_refused(
    published: Published, change: Callable[[Any], None], said: str
) -> None:
    with pytest.raises(UserError, match=rf"policy\.build_args\.tokenizer: .*published.*{said}"):
        config(tokenizer=published(change))


def test_white_space_after_the_opening_is_no_other_template(published: Published) -> None:
    assert config(tokenizer=published(templated(OPEN + "{{ '\\n' }}"))).vocab_size == 256


def test_a_published_tokenizer_lacks_no_end_token(published: Published) -> None:
    other = character_tokenizer()
    other.chat_template = OPEN
    with pytest.raises(UserError, match=r"<\|endofturn\|> is not one token"):
        config(tokenizer=published(tokenizer=other))
    other.add_tokens(["<|endofturn|>"])
    with pytest.raises(UserError, match=r"<\|endoftext\|> is not one token"):
        config(tokenizer=published(tokenizer=other))
    other.add_tokens(["<|endoftext|>"])
    assert config(tokenizer=published(tokenizer=other)).vocab_size == 256


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"policy\.build_args\.tokenizer: .*nowhere is no folder; give one with"):
        config(tokenizer=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="holds no tokenizer that transformers can load"):
        config(tokenizer=str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("torn")
    with pytest.raises(UserError, match="holds no tokenizer that transformers can load"):
        config(tokenizer=str(tmp_path))


def test_a_vocabulary_that_does_not_hold_the_tokenizer_is_refused() -> None:
    with pytest.raises(UserError, match="vocab_size 100 is less than the 114 tokens of the tokenizer"):
        config(vocab_size=100)
    assert config(vocab_size=128).vocab_size == 128
