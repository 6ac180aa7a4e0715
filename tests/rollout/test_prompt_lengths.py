"""No prompt is too long unnoticed, though few are tokenized."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from reprise.core.types import Task
from reprise.rollout.chat import ChatCodec

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
# A long ligature, which normalisation makes 18 letters of, and what takes several bytes and more than one token.
ODD = ["\N{ARABIC LIGATURE BISMILLAH AR-RAHMAN AR-RAHEEM}", "\N{FACE WITH TEARS OF JOY}", "   ", "\n\n", "ĳﬃ½", "é"]


def codec(folder: Path, normalizer: normalizers.Normalizer | None = None, metaspace: bool = False) -> ChatCodec:
    """Byte pairs that know English well and nothing else."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=metaspace, unk_token="<unk>" if metaspace else None))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    space = pre_tokenizers.Metaspace() if metaspace else pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.pre_tokenizer = space
    tokenizer.decoder = decoders.ByteLevel()
    bytes_alone = [f"<0x{b:02X}>" for b in range(256)] if metaspace else []
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<e>", "<unk>", *bytes_alone],
        initial_alphabet=[] if metaspace else pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 50, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<e>", chat_template=TEMPLATE).save_pretrained(folder)
    return ChatCodec(folder)


def task(number: int, text: str) -> Task:
    return Task(f"t{number}", text, "d", "exact")


def test_a_prompt_short_in_characters_and_long_in_tokens_is_found_among_many(tmp_path: Path) -> None:
    read = codec(tmp_path)
    english = [task(n, "the quick brown fox jumps over the lazy dog " * 5) for n in range(2000)]
    odd = task(2000, "\N{FACE WITH TEARS OF JOY}" * 55)
    tasks = [*english[:1500], odd, *english[1500:]]
    room = len(read.prompt_ids(english[0]))
    assert len(odd.messages()[0]["content"]) < len(english[0].messages()[0]["content"]) / 3
    assert [(t.id, n) for t, n in read.longer_prompts(tasks, room)] == [("t2000", len(read.prompt_ids(odd)))]


@pytest.mark.parametrize("normalizer", [None, normalizers.NFC(), normalizers.NFKC(), normalizers.NFD()])
@pytest.mark.parametrize("metaspace", [False, True])
def test_exactly_the_prompts_with_more_tokens_than_there_is_room_are_found(
    tmp_path: Path, normalizer: normalizers.Normalizer | None, metaspace: bool
) -> None:
    read = codec(tmp_path, normalizer, metaspace)
    tasks = [task(n, text * times) for n, (text, times) in enumerate((t, k) for t in ODD for k in (1, 2, 5, 9))]
    lengths = {t.id: len(read.prompt_ids(t)) for t in tasks}
    for room in {0, *lengths.values(), *(n - 1 for n in lengths.values())}:
        found = {t.id: n for t, n in read.longer_prompts(tasks, room)}
        assert found == {i: n for i, n in lengths.items() if n > room}


def test_prompts_that_surely_fit_are_not_tokenized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = codec(tmp_path)
    monkeypatch.setattr(type(read._tokenizer), "__call__", lambda *_, **__: pytest.fail("tokenized"))
    assert not list(read.longer_prompts([task(n, "the lazy dog") for n in range(2500)], 20))
