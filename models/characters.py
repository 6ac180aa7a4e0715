"""A tokenizer of single characters, as small policies have one: what differs is its special tokens and its template."""

from __future__ import annotations

import string
from collections.abc import Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

# Printable ASCII and the line break. What code and LaTeX need comes last, so that the other ids are as they were.
CHARACTERS = string.digits + string.ascii_letters + " \n+-*/=.,:;?!()" + "\"#$%&'<>@[\\]^_`{|}~"


def tokenizer_of(
    special: Sequence[str], marks: Sequence[str], chat_template: str, *, pad: str, bos: str, eos: str, unknown: str
) -> PreTrainedTokenizerFast:
    """One token a character, one a special token or a mark. Every other character becomes `unknown`.

    special             left out of decoded text; their ids are 0, 1, ... in this order
    marks               text that the policy writes and a verifier reads; their ids come next, then `CHARACTERS`
    pad … unknown       which of the special tokens have these parts
    """
    vocabulary = {token: i for i, token in enumerate([*special, *marks, *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in marks])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        unk_token=unknown,
        additional_special_tokens=[token for token in special if token not in (pad, bos, eos, unknown)],
        chat_template=chat_template,
        clean_up_tokenization_spaces=False,
    )
