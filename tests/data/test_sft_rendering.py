"""Which tokens of a conversation are trained on: what the policy itself would write, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.sft.records import check_record
from reprise.data.sft.rendering import ConversationCodec, Encoded
from reprise.rollout.chat import ChatCodec

# Written like the templates of real models: roles as headers, tools in the system turn, tool output in a user turn.
CHATML = (
    "{% if tools %}{{ '<|im_start|>system\\n' }}{% for t in tools %}{{ t | tojson }}{% endfor %}{{ '<|im_end|>\\n' }}"
    "{% endif %}{% for m in messages %}"
    "{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}{BEGIN}"
    "{% if m.reasoning_content %}{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ '<call>' + (c.function | tojson) + '</call>' }}{% endfor %}"
    "{{ '<|im_end|>' }}{END}{{ '\\n' }}"
    "{% elif m.role == 'tool' %}{{ '<|im_start|>user\\n<result>' + m.content + '</result><|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
PLAIN = CHATML.replace("{BEGIN}", "").replace("{END}", "")
MARKED = CHATML.replace("{BEGIN}", "{% generation %}").replace("{END}", "{% endgeneration %}")
# The mark leaves out the end token (a slip that many templates make), or takes header and line break in (SmolLM3's).
MARKED_SHORT = MARKED.replace("{{ '<|im_end|>' }}{% endgeneration %}", "{% endgeneration %}{{ '<|im_end|>' }}")
MARKED_WIDE = MARKED.replace(
    "{{ '<|im_start|>assistant\\n' }}{% generation %}", "{% generation %}{{ '<|im_start|>assistant\\n' }}"
).replace("{% endgeneration %}{{ '\\n' }}", "{{ '\\n' }}{% endgeneration %}")
MARKED_IN_PARTS = MARKED.replace("{{ m.content }}", "{% endgeneration %}{% generation %}{{ m.content }}")
# As Qwen3's: the reasoning of turns before the last user message is left out.
FORGETFUL = PLAIN.replace(
    "{% for m in messages %}",
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}",
).replace("{% if m.reasoning_content %}", "{% if m.reasoning_content and loop.index0 > ns.last %}")

SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
CALL = {"function": {"name": "add", "arguments": {"a": 2}}}
USER = {"role": "user", "content": "2 and 2?"}
ANSWER = {"role": "assistant", "content": "Four."}
LONG = {
    "tools": [{"name": "add"}],
    "messages": [
        {"role": "system", "content": "Be kind."},
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "4"},
        ANSWER,
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Yes", "reasoning_content": "hm"},
    ],
}
WRITTEN = [
    '<call>{"name": "add", "arguments": {"a": 2}}</call><|im_end|>',
    "Four.<|im_end|>",
    "<think>hm</think>Yes<|im_end|>",
]

Folder = Callable[..., Path]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Saves a byte-level BPE tokenizer, which merges across words and line breaks, with a chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(["user\n\n\n\nassistant\n\nYes Four.\n\n Sure?\n2 and 2 Be kind"] * 20, trainer)

    def save(template: str | None, eos: str = "<|im_end|>", **more: Any) -> Path:
        path = tmp_path_factory.mktemp("tokenizer")
        fast = PreTrainedTokenizerFast(
            tokenizer_object=more.pop("tokenizer", bpe), eos_token=eos, pad_token="<|pad|>", chat_template=template
        )
        fast.save_pretrained(path)
        for name, value in more.items():
            (path / f"{name}.json").write_text(json.dumps(value))
        return path

    return save


def encode(path: Path, value: dict[str, Any], turns: Any = "all") -> Encoded:
    return ConversationCodec(path, turns).encode(check_record(value, "r.jsonl:1"), "r.jsonl:1")


def written(path: Path, encoded: Encoded) -> list[str]:
    """The text of each run of trainable tokens."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], encoded.trainable.astype(int), [0]])))
    return [tokenizer.decode(encoded.ids[a:b]) for a, b in zip(edges[::2], edges[1::2])]


def chat(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


@pytest.mark.parametrize("template", [PLAIN, MARKED, MARKED_SHORT, MARKED_WIDE, MARKED_IN_PARTS])
def test_trained_on_is_what_the_assistant_writes_in_every_turn_with_its_end(folder: Folder, template: str) -> None:
    path = folder(template)
    encoded = encode(path, LONG)
    assert written(path, encoded) == WRITTEN
    assert written(path, encode(path, LONG, turns="last")) == WRITTEN[-1:]
    whole = PreTrainedTokenizerFast.from_pretrained(path).apply_chat_template(
        LONG["messages"], tools=LONG["tools"], return_dict=False
    )
    assert encoded.ids.tolist() == whole
    assert encoded.ids.dtype == np.int32
    assert encoded.trainable.dtype == np.bool_


def test_a_marking_template_gives_the_mask_of_transformers(folder: Folder) -> None:
    path = folder(MARKED)
    reference = PreTrainedTokenizerFast.from_pretrained(path).apply_chat_template(
        LONG["messages"], tools=LONG["tools"], return_dict=True, return_assistant_tokens_mask=True
    )
    encoded = encode(path, LONG)
    assert encoded.ids.tolist() == reference["input_ids"]
    assert encoded.trainable.tolist() == [bool(m) for m in reference["assistant_masks"]]


contents = st.text("ab \n.<>", min_size=1, max_size=8).filter(lambda s: s.strip())
conversation = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), contents), min_size=1, max_size=6
)


@settings(max_examples=60)
@given(messages=conversation, last=contents, marked=st.booleans())
def test_prompts_and_turns_add_up_as_rl_makes_them(
    chatml: dict[bool, tuple[ConversationCodec, Any]], messages: list[tuple[str, str]], last: str, marked: bool
) -> None:
    """Every turn's prompt and answer, tokenised by themselves as RL does, lie in the conversation token by token."""
    codec, tokenizer = chatml[marked]
    value = chat(*({"role": r, "content": c} for r, c in messages), {"role": "assistant", "content": last})
    encoded = codec.encode(check_record(value, ""))
    prompt = tokenizer.apply_chat_template(value["messages"][:-1], add_generation_prompt=True, tokenize=False)
    answer = tokenizer(last + "<|im_end|>", add_special_tokens=False)["input_ids"]
    if not any(role == "assistant" for role, _ in messages):
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert encoded.ids[: len(ids)].tolist() == ids
    mine = [c + "<|im_end|>" for role, c in messages if role == "assistant"] + [last + "<|im_end|>"]
    assert tokenizer.decode(encoded.ids[encoded.trainable]) == "".join(mine)
    tail = len(encoded.ids) - 1 - int(np.argmax(encoded.trainable[::-1]))
    assert encoded.ids[tail + 1 - len(answer) : tail + 1].tolist() == answer
    assert tokenizer.decode(encoded.ids) == prompt + last + "<|im_end|>\n"


@pytest.fixture(scope="session")
def chatml(folder: Folder) -> dict[bool, tuple[ConversationCodec, Any]]:
    paths = {False: folder(PLAIN), True: folder(MARKED)}
    return {
        marked: (ConversationCodec(path), PreTrainedTokenizerFast.from_pretrained(path))
        for marked, path in paths.items()
    }


def test_an_answer_that_begins_with_a_line_break_has_the_prompt_that_rl_samples_from(folder: Folder) -> None:
    """Tokenised as one text, the header's line break and the answer's would be one token, half of it the policy's."""
    path = folder(PLAIN)
    value = chat(USER, {**ANSWER, "content": "\n\nFour."})
    prompt = ChatCodec(path).prompt_ids(Task("t", "2 and 2?", "d", "v"))
    encoded = encode(path, value)
    whole = PreTrainedTokenizerFast.from_pretrained(path).apply_chat_template(value["messages"], return_dict=False)
    assert encoded.ids.tolist() != whole
    assert encoded.ids[: len(prompt)].tolist() == prompt.tolist()
    assert encoded.trainable.argmax() == len(prompt)
    assert written(path, encoded) == ["\n\nFour.<|im_end|>"]


def test_what_follows_the_last_answer_is_left_out(folder: Folder) -> None:
    path = folder(PLAIN)
    assert encode(path, chat(USER, ANSWER, USER)).ids.tolist() == encode(path, chat(USER, ANSWER)).ids.tolist()


def test_two_answers_in_a_row_are_two_turns(folder: Folder) -> None:
    path = folder(PLAIN)
    assert written(path, encode(path, chat(USER, ANSWER, ANSWER))) == ["Four.<|im_end|>"] * 2


def test_a_template_that_rewrites_earlier_turns_is_refused_for_all_and_taken_for_the_last(folder: Folder) -> None:
    path = folder(FORGETFUL)
    thinking = {**ANSWER, "reasoning_content": "2+2"}
    value = chat(USER, thinking, USER, thinking)
    with pytest.raises(UserError) as caught:
        encode(path, value)
    text = str(caught.value)
    assert text.startswith("r.jsonl:1: messages[1] (assistant): ")
    assert "`turns: last`, split the conversation" in text
    assert "{% generation %}" in text
    assert written(path, encode(path, value, turns="last")) == ["<think>2+2</think>Four.<|im_end|>"]
    assert written(path, encode(path, chat(USER, thinking))) == ["<think>2+2</think>Four.<|im_end|>"]


def test_an_answer_is_never_trained_after_another_prompt_than_is_sampled_from(folder: Folder) -> None:
    thoughtless = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think></think>' }}{% endif %}"
    for template in (PLAIN, MARKED):
        begin = template.index("{% if add_generation_prompt")
        path = folder(template[:begin] + thoughtless)
        with pytest.raises(
            UserError, match=r"messages\[1\] \(assistant\): the chat template does not begin this turn with its"
        ):
            encode(path, chat(USER, ANSWER))
    late = folder(MARKED.replace("{% generation %}", "{{ '>' }}{% generation %}"))
    with pytest.raises(UserError, match=r"messages\[1\]: .* block does not begin where its generation prompt ends"):
        encode(late, chat(USER, ANSWER))
    with pytest.raises(UserError, match="block does not begin"):
        encode(folder(PLAIN + "{% if false %}{% generation %}{% endgeneration %}{% endif %}"), chat(USER, ANSWER))


def test_a_turn_that_sampling_could_not_end_is_refused(folder: Folder) -> None:
    with pytest.raises(UserError, match=r"r.jsonl:1: .* ends with .*im_end.*set eos_token in generation_config.json"):
        encode(folder(PLAIN, eos="<|pad|>"), chat(USER, ANSWER))
    ends = {"eos_token_id": [0, 2]}
    path = folder(PLAIN, eos="<|pad|>", generation_config=ends)
    assert written(path, encode(path, chat(USER, ANSWER))) == ["Four.<|im_end|>"]


def test_a_record_that_the_template_refuses_is_named(tiny_policy: Path) -> None:
    with pytest.raises(UserError, match=r"r.jsonl:1: the chat template refuses .* roles user and assistant"):
        encode(tiny_policy, LONG)


def test_a_tokenizer_without_template_is_refused(folder: Folder) -> None:
    with pytest.raises(UserError, match="the tokenizer has no chat template"):
        ConversationCodec(folder(None))


def test_a_tokenizer_that_puts_a_space_before_any_text_adds_none_inside(folder: Folder) -> None:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, "▁", *"BFWabHoeiur.\n2?dnst<|>_mkx", "?x"])}
    words = Tokenizer(models.BPE(vocabulary, [("?", "x")], unk_token="▁"))
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    words.decoder = decoders.Metaspace(prepend_scheme="first")
    words.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    template = (
        "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ '<|im_end|>' }}{% endif %}{% endfor %}"
    )
    path = folder(template, tokenizer=words)
    encoded = encode(path, chat({"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hou."}))
    tokens = words.encode("Hi?Hou.<|im_end|>", add_special_tokens=False)
    assert encoded.ids.tolist() == tokens.ids
    assert encoded.trainable.tolist() == [False] * tokens.tokens.index("?") + [False] + [True] * 5
    with pytest.raises(UserError, match="the tokens before an assistant's turn change with what it says"):
        encode(path, chat({"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "xou."}))


def test_the_first_token_is_no_target(folder: Folder) -> None:
    path = folder("{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}")
    assert encode(path, chat(ANSWER)).trainable.tolist()[:2] == [False, True]


def test_many_records_at_once_are_as_each_alone(folder: Folder) -> None:
    codec = ConversationCodec(folder(PLAIN))
    values = [check_record(v, "") for v in (LONG, chat(USER, ANSWER), LONG)]
    together = codec.encode_many([(v, "") for v in values])
    for one, value in zip(together, values):
        assert one.ids.tolist() == codec.encode(value).ids.tolist()
        assert one.trainable.tolist() == codec.encode(value).trainable.tolist()
    assert codec.encode_many([]) == []
