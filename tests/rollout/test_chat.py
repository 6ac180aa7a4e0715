"""Between text and ids: what is imitated is what the template makes of it; what is read shows where reasoning ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from reprise.core.errors import UserError
from reprise.core.types import Int32, Task
from reprise.models.motif2.tokenizer import small_tokenizer
from reprise.models.tiny import character_tokenizer
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.exact import ExactVerifier
from reprise.rollout.chat import ChatCodec

ADD = Task("add", "1+2=", "addition", "exact", answer="3")
SYSTEM = Task("s", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+2="}], "d", "exact")
REASONED = "<think>1+2=3,</think><ans>3</ans>"

Saved = Callable[..., ChatCodec]
Ids = Callable[[str], Int32]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """The codec of a tokenizer that is saved, with another template or other files if they are given."""

    def save(tokenizer: PreTrainedTokenizerFast, template: str | None = None, **files: Any) -> ChatCodec:
        if template is not None:
            tokenizer.chat_template = template
        tokenizer.save_pretrained(tmp_path)
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return ChatCodec(tmp_path)

    return save


@pytest.fixture
def ids(tmp_path: Path) -> Ids:
    """The tokens of a text, of the tokenizer that was saved."""

    def encode(text: str) -> Int32:
        return np.asarray(AutoTokenizer.from_pretrained(tmp_path).encode(text, add_special_tokens=False), np.int32)

    return encode


@pytest.mark.parametrize("make", [character_tokenizer, small_tokenizer])
@pytest.mark.parametrize("response", [REASONED, "<think></think>3", "<think>a\n b</think>\n\n<ans>3</ans>\n"])
def test_prompt_and_imitated_response_are_the_template_s_whole_conversation(
    saved: Saved, make: Callable[[], PreTrainedTokenizerFast], response: str
) -> None:
    codec, tokenizer = saved(make()), make()
    whole = [*ADD.messages(), {"role": "assistant", "content": response}]
    made = [*codec.prompt_ids(ADD), *codec.response_ids(response)]
    assert made == tokenizer.apply_chat_template(whole, return_dict=False)
    assert made.count(tokenizer.convert_tokens_to_ids("<think>")) == 1


@pytest.mark.parametrize("make", [character_tokenizer, small_tokenizer])
def test_a_response_is_read_as_it_was_written_whoever_opens_its_reasoning(
    saved: Saved, make: Callable[[], PreTrainedTokenizerFast]
) -> None:
    codec = saved(make())
    assert codec.text(codec.prompt_ids(ADD), codec.response_ids(REASONED)) == REASONED


def test_a_response_that_starts_within_the_reasoning_is_taken_as_it_is(saved: Saved) -> None:
    codec = saved(small_tokenizer())
    assert codec.response_ids("so</think>3").tolist() == codec.response_ids("<think>so</think>3").tolist()
    assert codec.response_ids("\n<think>so</think>3").tolist() == codec.response_ids("<think>so</think>3").tolist()


@pytest.mark.parametrize("response", ["<ans>3</ans>", "<think>1+2=3,<ans>3</ans>"])
def test_a_response_that_never_closes_the_opened_reasoning_is_not_imitated(saved: Saved, response: str) -> None:
    with pytest.raises(UserError, match=f"never closes the reasoning .*: '{re.escape(response)}'; write"):
        saved(small_tokenizer()).response_ids(response)


def test_where_nothing_is_opened_a_response_needs_no_reasoning(saved: Saved) -> None:
    codec = saved(character_tokenizer())
    assert codec.text(codec.prompt_ids(ADD), codec.response_ids("<ans>3</ans>")) == "<ans>3</ans>"


def test_an_answer_within_reasoning_that_never_ends_counts_for_nothing(saved: Saved, ids: Ids) -> None:
    codec = saved(small_tokenizer())
    endless, closed = (ids(text) for text in ("1+2=<ans>3</ans>", "1+2=</think><ans>3</ans>"))
    texts = [codec.text(codec.prompt_ids(ADD), response) for response in (endless, closed)]
    assert texts == ["<think>1+2=<ans>3</ans>", "<think>1+2=</think><ans>3</ans>"]
    wrong, right = ExactVerifier().verify([Answer(ADD, text) for text in texts])
    assert wrong.score in (None, 0)
    assert right.score == 1


def test_each_prompt_says_for_itself_whether_it_opens_the_reasoning(saved: Saved, ids: Ids) -> None:
    codec = saved(
        character_tokenizer(),
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt and messages | length > 1 %}"
        "{{ '<|assistant|><think>\n' }}{% endif %}",
    )
    response = ids("3")
    assert codec.text(codec.prompt_ids(SYSTEM), response) == "<think>\n3"
    assert codec.text(codec.prompt_ids(ADD), response) == "3"
    assert codec.text(ids("<think></think>"), response) == "3"
    assert codec.text(ids("<think>What"), response) == "3"
    assert codec.text(codec.prompt_ids(SYSTEM)[:0], response) == "3"


def test_white_space_that_the_prompt_has_after_the_opening_is_not_doubled(saved: Saved) -> None:
    template = small_tokenizer().chat_template
    codec = saved(small_tokenizer(), template.replace("'<|assistant|><think>'", "'<|assistant|><think>\\n'"))
    prompt = codec.prompt_ids(ADD)
    for text in ("<think>\nso</think>3", "<think>so</think>3", "so</think>3"):
        assert codec.text(prompt, codec.response_ids(text)) == "<think>\nso</think>3"


def test_an_opening_that_is_no_single_token_is_seen_too(saved: Saved, ids: Ids) -> None:
    tokenizer = small_tokenizer()
    spelled: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    spelled["added_tokens"] = [token for token in spelled["added_tokens"] if token["content"] != "<think>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spelled)),
        eos_token="<|endofturn|>",
        bos_token="<|beginoftext|>",
        chat_template=tokenizer.chat_template,
    )
    codec = saved(tokenizer)
    assert len(ids("<think>")) == len("<think>")
    assert codec.text(codec.prompt_ids(ADD), codec.response_ids(REASONED)) == REASONED


def test_a_response_is_closed_as_the_template_closes_a_turn(saved: Saved) -> None:
    turn, text = map(small_tokenizer().convert_tokens_to_ids, ["<|endofturn|>", "<|endoftext|>"])
    tokenizer = small_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    codec = saved(tokenizer, generation_config={"eos_token_id": [text, turn]})
    assert codec.response_ids(REASONED)[-1] == turn
    assert set(codec.stop_ids) == {turn, text}


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m.content + '<|user|>' }}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
        "{% if messages | length > 1 %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}",
    ],
)
def test_a_template_that_writes_no_end_token_leaves_the_tokenizer_s_own(saved: Saved, template: str) -> None:
    tokenizer = character_tokenizer()
    codec = saved(tokenizer, template, generation_config={"eos_token_id": tokenizer.pad_token_id})
    assert codec.response_ids("3")[-1] == tokenizer.eos_token_id


def test_marks_are_read_even_if_the_tokenizer_calls_them_special(saved: Saved, ids: Ids) -> None:
    tokenizer = small_tokenizer()
    marks = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
    tokenizer.add_special_tokens({"extra_special_tokens": [AddedToken(mark, special=True) for mark in marks]})
    codec = saved(tokenizer)
    assert (
        AutoTokenizer.from_pretrained(codec._tokenizer.name_or_path).decode(
            ids("a</think>b<|endofturn|>"), skip_special_tokens=True
        )
        == "ab"
    )
    response = "<think>a</think><tool_call>{}</tool_call>"
    assert codec.text(codec.prompt_ids(ADD), codec.response_ids(response)) == response


def test_special_tokens_and_nothing_else_are_left_out(saved: Saved, ids: Ids) -> None:
    codec = saved(character_tokenizer())
    sampled = ids("<|bos|><think>a</think><|user|>b<|pad|><|eos|>")
    assert codec.text(codec.prompt_ids(ADD), sampled) == "<think>a</think>b"
    unknown = ids("é")
    assert codec.text(codec.prompt_ids(ADD), unknown) == ""
