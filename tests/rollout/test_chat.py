"""Between text and ids: what is trained on is what is sampled; what is read shows where reasoning ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from reprise.core.types import Int32, Task
from reprise.data.sft.rendering import ConversationCodec
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
def test_what_is_trained_on_is_the_prompt_that_is_sampled_and_the_template_s_whole_conversation(
    saved: Saved, tmp_path: Path, make: Callable[[], PreTrainedTokenizerFast], response: str
) -> None:
    codec, tokenizer = saved(make()), make()
    whole = [*ADD.messages(), {"role": "assistant", "content": response}]
    trained = ConversationCodec(tmp_path).encode({"messages": whole})
    made, prompt = trained.ids.tolist(), codec.prompt_ids(ADD).tolist()
    assert made == tokenizer.apply_chat_template(whole, return_dict=False)
    assert made[: len(prompt)] == prompt
    assert trained.trainable.tolist() == [False] * len(prompt) + [True] * (len(made) - len(prompt))
    assert made.count(tokenizer.convert_tokens_to_ids("<think>")) == 1


@pytest.mark.parametrize("make", [character_tokenizer, small_tokenizer])
def test_a_response_is_read_as_it_was_written_whoever_opens_its_reasoning(
    saved: Saved, tmp_path: Path, make: Callable[[], PreTrainedTokenizerFast]
) -> None:
    codec = saved(make())
    whole = [*ADD.messages(), {"role": "assistant", "content": REASONED}]
    prompt = codec.prompt_ids(ADD)
    response = ConversationCodec(tmp_path).encode({"messages": whole}).ids[len(prompt) :]
    assert codec.text(prompt, response) == REASONED


def test_where_nothing_is_opened_a_response_needs_no_reasoning(saved: Saved, ids: Ids) -> None:
    codec = saved(character_tokenizer())
    assert codec.text(codec.prompt_ids(ADD), ids("<ans>3</ans><|eos|>")) == "<ans>3</ans>"


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


def test_white_space_that_the_prompt_has_after_the_opening_is_put_back_too(saved: Saved, ids: Ids) -> None:
    template = small_tokenizer().chat_template
    codec = saved(small_tokenizer(), template.replace("'<|assistant|><think>'", "'<|assistant|><think>\\n'"))
    assert codec.text(codec.prompt_ids(ADD), ids("so</think>3<|endofturn|>")) == "<think>\nso</think>3"


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
    assert codec.text(codec.prompt_ids(ADD), ids(REASONED.removeprefix("<think>"))) == REASONED


def test_a_response_is_closed_as_the_template_closes_a_turn(saved: Saved, tmp_path: Path) -> None:
    turn, text = map(small_tokenizer().convert_tokens_to_ids, ["<|endofturn|>", "<|endoftext|>"])
    tokenizer = small_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    codec = saved(tokenizer, generation_config={"eos_token_id": [text, turn]})
    whole = [*ADD.messages(), {"role": "assistant", "content": REASONED}]
    assert ConversationCodec(tmp_path).encode({"messages": whole}).ids[-1] == turn
    assert set(codec.stop_ids) == {turn, text}


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
    assert codec.text(codec.prompt_ids(ADD), ids(response.removeprefix("<think>"))) == response


def test_special_tokens_and_nothing_else_are_left_out(saved: Saved, ids: Ids) -> None:
    codec = saved(character_tokenizer())
    sampled = ids("<|bos|><think>a</think><|user|>b<|pad|><|eos|>")
    assert codec.text(codec.prompt_ids(ADD), sampled) == "<think>a</think>b"
    unknown = ids("é")
    assert codec.text(codec.prompt_ids(ADD), unknown) == ""
