"""Motif-2's tokenizers: the published one, checked, and a small one of single characters with the same conventions.

An assistant's turn is opened by `<|assistant|><think>`, so that a response begins within its reasoning and has to close
it; `<|endofturn|>` ends a turn, `<|endoftext|>` a document, and sampling ends at either. Tools stand as JSON schemas in
the system turn, a call is `<tool_call>` around {"name": ..., "arguments": {...}}, as the verifier `tools` reads it.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, cast

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from reprise.core.errors import UserError
from reprise.models.characters import tokenizer_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END_OF_TURN, END_OF_TEXT = "<|endofturn|>", "<|endoftext|>"
BEGIN_OF_TEXT, UNKNOWN = "<|beginoftext|>", "<|unknown|>"
SPECIAL = (
    END_OF_TEXT, BEGIN_OF_TEXT, END_OF_TURN, UNKNOWN, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>",
)  # fmt: skip
# Text that the policy reads or writes and a verifier may read: single tokens, but decoding keeps them.
MARKS = (
    "<think>", "</think>", "<ans>", "</ans>", "<tool_call>", "</tool_call>",
    "<tools>", "</tools>", "<tool_response>", "</tool_response>",
)  # fmt: skip

# Earlier turns keep their reasoning: each turn is then a beginning of the whole, and SFT can train on all of them.
CHAT_TEMPLATE = (
    "{% macro definitions() %}{{ '<tools>' }}{% for tool in tools %}{{ '\\n' + tool | tojson }}{% endfor %}"
    "{{ '\\n</tools>' }}{% endmacro %}"
    # What the assistant says, after the `<think>` that the generation prompt has opened.
    "{% macro said(message) %}{% set content = message['content'] or '' %}{% set start = content.lstrip() %}"
    "{% if message['reasoning_content'] %}"
    "{% if '</think>' in content %}"
    "{{ raise_exception('an assistant message has reasoning_content and also reasoning in its content') }}{% endif %}"
    "{{ message['reasoning_content'] + '</think>' + content }}"
    "{% elif start.startswith('<think>') and '</think>' not in content %}"
    "{{ raise_exception('the reasoning in an assistant message is not closed by </think>') }}"
    "{% elif start.startswith('<think>') %}{{ start[7:] }}"
    "{% elif '</think>' in content %}{{ content }}"  # a response as it is sampled
    "{% else %}{{ '</think>' + content }}{% endif %}"
    "{% for each in message['tool_calls'] or [] %}{% set call = each['function'] or each %}"
    "{{ '\\n<tool_call>\\n{\"name\": ' + call['name'] | tojson + ', \"arguments\": ' }}"
    "{% set arguments = call['arguments'] %}"
    "{{ arguments if arguments is string else (arguments or {}) | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}"
    "{% endmacro %}"
    "{{ bos_token }}"
    "{% if tools and (not messages or messages[0]['role'] != 'system') %}"
    "{{ '<|system|>' + definitions() + '<|endofturn|>' }}{% endif %}"
    "{% for message in messages %}{% set role = message['role'] %}"
    "{% if role == 'system' %}{{ '<|system|>' + message['content'] }}"
    "{% if tools and loop.first %}{{ '\\n' + definitions() }}{% endif %}{{ '<|endofturn|>' }}"
    "{% elif role == 'user' %}{{ '<|user|>' + message['content'] + '<|endofturn|>' }}"
    "{% elif role == 'tool' %}"
    "{{ '<|tool|><tool_response>\\n' + message['content'] + '\\n</tool_response><|endofturn|>' }}"
    "{% elif role == 'assistant' %}{{ '<|assistant|><think>' + said(message) + '<|endofturn|>' }}"
    "{% else %}"
    "{{ raise_exception('this policy knows the roles system, user, assistant and tool, not ' + role | string) }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>' }}{% endif %}"
)

# Embeddings of the published checkpoint have rows to spare, for shards of equal size: 219,520 = 1715 · 128.
_ROWS = 128


def small_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, one a chat, reasoning or tool mark; 114 in all. Every other character becomes unknown."""
    return tokenizer_of(
        SPECIAL, MARKS, CHAT_TEMPLATE, pad=END_OF_TEXT, bos=BEGIN_OF_TEXT, eos=END_OF_TURN, unknown=UNKNOWN
    )


def published_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The transformers tokenizer in `folder`.

    Raises UserError if it cannot be loaded, if its chat template is missing or does not open the reasoning in the
    generation prompt, or if an end token is none of its tokens.
    """
    where = f"policy.build_args.tokenizer: {folder}"
    if not Path(folder).is_dir():
        raise UserError(
            f"{where} is no folder; give one with the files of the published tokenizer (tokenizer.json, ...)"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # damaged files make the parsers raise anything
        why = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise UserError(f"{where} holds no tokenizer that transformers can load: {why}") from error
    if tokenizer.chat_template is None:
        raise UserError(f"{where}: the tokenizer has no chat template; add chat_template.jinja to the folder")
    _check_generation_prompt(tokenizer, where)
    for end in (END_OF_TURN, END_OF_TEXT):
        ids = tokenizer.encode(end, add_special_tokens=False)
        if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
            raise UserError(f"{where}: {end} is not one token of this tokenizer; Motif-2's ends a response with it")
    return tokenizer


def _check_generation_prompt(tokenizer: PreTrainedTokenizerBase, where: str) -> None:
    try:
        prompt = cast(
            str,
            tokenizer.apply_chat_template(
                [{"role": "user", "content": "1+1="}], add_generation_prompt=True, tokenize=False
            ),
        )
    except Exception as error:  # a template may fail in any way
        raise UserError(f"{where}: the chat template refuses a user's message: {error}") from error
    if not prompt.rstrip().endswith("<think>"):
        raise UserError(
            f"{where}: the chat template's generation prompt ends with {prompt[-40:]!r} and not with an opened "
            "<think>; give the tokenizer of the reasoning model"
        )


def token_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """A configuration's ids of what pads, begins and ends text; of the ends, that of a turn comes first."""
    turn, text = cast(list[int], tokenizer.convert_tokens_to_ids([END_OF_TURN, END_OF_TEXT]))
    return {
        "pad_token_id": text if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": [turn, text],
    }


def rounded(size: int) -> int:
    """The rows of the embeddings for that many tokens: the next multiple of 128."""
    return -(-size // _ROWS) * _ROWS
