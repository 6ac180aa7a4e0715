"""From sources to tokenised records: lengths, what is left out and counted, what is refused, and the cache."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprise.core.errors import UserError
from reprise.data.sft import loading
from reprise.data.sft.loading import TokenizedSource, digests_of, load_sources
from reprise.data.sft.records import check_record
from reprise.data.sft.rendering import ConversationCodec
from reprise.data.sft.settings import EvalSource, SftSource
from reprise.data.sft.stream import SftStream
from reprise.models.tiny import build


@pytest.fixture(scope="module")
def codec(tiny_policy: Path) -> ConversationCodec:
    return ConversationCodec(tiny_policy)


def chat(question: str, answer: str = "ok", **keys: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **keys}


def file(path: Path, *values: Any, name: str = "s", **keys: Any) -> SftSource:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return SftSource(name=name, path=str(path), **keys)


# <bos><user>question<assistant>ok<eos>
def tokens(question: str) -> int:
    return len(question) + 6


@pytest.fixture(params=["cached", "in memory"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "cache" if request.param == "cached" else None


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_those_who_share_a_folder_share_what_is_cached(
    tmp_path: Path, codec: ConversationCodec, umask: int, mode: int
) -> None:
    source = file(tmp_path / "a.jsonl", chat("q"))
    before = os.umask(umask)
    try:
        load_sources([source], codec, 100, cache=tmp_path / "cache")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "cache").iterdir()] == [mode]


def test_records_come_tokenised_in_their_order_with_their_lengths(
    tmp_path: Path, codec: ConversationCodec, cache: Path | None
) -> None:
    questions = [f"{'q' * (i % 7)}{i}" for i in range(300)]
    source = file(tmp_path / "a.jsonl", *map(chat, questions), domain="words")
    for _ in range(2):  # the second time from the cache
        (loaded,) = load_sources([source], codec, 100, cache=cache)
        assert (loaded.name, loaded.domain, len(loaded)) == ("s", "words", 300)
        assert loaded.lengths.tolist() == [tokens(q) for q in questions]
        assert loaded.lengths.dtype == np.int32
        assert loaded.tokens == sum(map(tokens, questions))
        for i in (0, 127, 128, 299):
            expected = codec.encode(check_record(chat(questions[i]), ""))
            assert loaded[i].ids.tolist() == expected.ids.tolist()
            assert loaded[i].trainable.tolist() == expected.trainable.tolist()
            assert loaded[i].ids.dtype == np.int32
            assert loaded[i].trainable.dtype == np.bool_


def test_a_training_record_with_an_evaluation_records_messages_is_left_out_and_counted(
    tmp_path: Path, codec: ConversationCodec, cache: Path | None
) -> None:
    held = load_sources([file(tmp_path / "e.jsonl", chat("b"), chat("x"), name="e")], codec, 100)
    source = file(tmp_path / "t.jsonl", chat("a"), chat("b", id="7"), chat("b", "no"), chat("c"), chat("b"))
    for _ in range(2):
        (loaded,) = load_sources([source], codec, 100, held_out=digests_of(held), cache=cache)
        assert (loaded.held_out, loaded.too_long) == (2, 0)
        assert [len(loaded[i].ids) for i in range(len(loaded))] == [7, 7, 7]
        assert not digests_of([loaded]) & digests_of(held)


def test_a_source_that_is_all_held_out_is_refused(tmp_path: Path, codec: ConversationCodec) -> None:
    source = file(tmp_path / "a.jsonl", chat("a"), chat("b"))
    held = digests_of(load_sources([source], codec, 100))
    with pytest.raises(UserError, match=r"source s has no record to use: of its 2 records 2 are held out"):
        load_sources([source], codec, 100, held_out=held)


def test_an_empty_source_is_refused(tmp_path: Path, codec: ConversationCodec) -> None:
    with pytest.raises(UserError, match="source s has no record to use: it is empty"):
        load_sources([file(tmp_path / "a.jsonl")], codec, 100)


def test_a_record_longer_than_the_context_is_refused_with_its_place_and_the_arithmetic(
    tmp_path: Path, codec: ConversationCodec, cache: Path | None
) -> None:
    source = file(tmp_path / "a.jsonl", chat("a"), chat("b" * 24), chat("c" * 50))
    message = rf"{tmp_path}/a.jsonl:2: the conversation has 30 tokens, but the longest context .* has 29; raise that to"
    load_sources([source], codec, 100, cache=cache)
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            load_sources([source], codec, 29, cache=cache)
    (loaded,) = load_sources([source], codec, 30, overlong="drop", cache=cache)
    assert loaded.lengths.tolist() == [7, 30]
    assert loaded.too_long == 1
    with pytest.raises(
        UserError, match=r"of its 3 records 0 are held out .*, 3 are longer than the context of 6 tokens"
    ):
        load_sources([source], codec, 6, overlong="drop", cache=cache)


def test_the_first_record_too_long_ends_reading_at_once(codec: ConversationCodec) -> None:
    source = SftSource(name="s", generator=f"{__name__}:endless")
    with pytest.raises(UserError, match=r"endless\({}\), record 40: the conversation has 106 tokens"):
        load_sources([source], codec, 100)


def endless() -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        number += 1
        yield chat("q" * (100 if number == 40 else 5))


def test_an_overlong_record_that_is_held_out_is_no_fault(tmp_path: Path, codec: ConversationCodec) -> None:
    long = chat("b" * 50)
    held = digests_of(load_sources([file(tmp_path / "e.jsonl", long)], codec, 100))
    (loaded,) = load_sources([file(tmp_path / "a.jsonl", chat("a"), long)], codec, 20, held_out=held)
    assert (loaded.held_out, len(loaded)) == (1, 1)


def test_generators_and_parquet_are_sources_too(tmp_path: Path, codec: ConversationCodec) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    args = {
        "seed": 0, "count": 40, "domain": "reverse", "split": "held_out",
        "styles": {"clean": 1}, "error_rate": 0.1, "sizes": {"letters": [2, 4]},
    }  # fmt: skip
    generated = EvalSource(name="g", generator="reprise.data.demo.conversations:conversations", args=args)
    pq.write_table(pa.Table.from_pylist([chat("a"), chat("bb")]), tmp_path / "a.parquet")
    loaded = load_sources([generated, EvalSource(name="p", path=str(tmp_path))], codec, 100)
    assert [len(each) for each in loaded] == [40, 2]
    assert loaded[1].lengths.tolist() == [7, 8]


def test_the_cache_is_used_again_until_data_tokenizer_or_turns_change(
    tmp_path: Path, codec: ConversationCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = file(tmp_path / "a.jsonl", chat("a"), chat("b"))
    read: list[int] = []

    def load(codec: ConversationCodec = codec) -> TokenizedSource:
        read.clear()
        return load_sources([source], codec, 100, cache=tmp_path / "c", on_progress=lambda *n: read.append(n[1]))[0]

    load()
    assert read == [2]
    load()
    assert read == []
    load(ConversationCodec(codec.folder, turns="last"))
    assert read == [2]
    other = build(tmp_path / "other", seed=0)
    template = (other / "chat_template.jinja").read_text()
    (other / "chat_template.jinja").write_text(template.replace("'<|user|>'", "'<|user|>:'"))
    assert load(ConversationCodec(other)).lengths.tolist() == [8, 8]
    file(tmp_path / "a.jsonl", chat("a"), chat("b"), chat("cc"))
    assert load().lengths.tolist() == [7, 7, 8]
    monkeypatch.setattr(loading, "_VERSION", loading._VERSION + 1)
    load()
    assert read == [3]


def test_a_broken_record_leaves_nothing_in_the_cache(tmp_path: Path, codec: ConversationCodec) -> None:
    source = file(tmp_path / "a.jsonl", *[chat("a")] * 200, {"messages": []})
    with pytest.raises(UserError, match=r"a.jsonl:201: messages is a list of 0"):
        load_sources([source], codec, 100, cache=tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_progress_is_reported_part_by_part(tmp_path: Path, codec: ConversationCodec) -> None:
    reported: list[tuple[str, int, int]] = []
    source = file(tmp_path / "a.jsonl", *[chat("a")] * 300)
    load_sources([source], codec, 100, on_progress=lambda *n: reported.append(n))
    assert reported == [("s", 128, 128 * 7), ("s", 256, 256 * 7), ("s", 300, 300 * 7)]


def test_a_stream_draws_from_what_was_loaded(tmp_path: Path, codec: ConversationCodec) -> None:
    sources = [file(tmp_path / f"{n}.jsonl", *map(chat, [n, 9 * n]), name=n, weight=1.0) for n in "ab"]
    loaded = load_sources(sources, codec, 100)
    stream = SftStream([(each.name, each.lengths) for each in loaded], [s.weight for s in sources], 0, 8, 100)
    drawn = [len(loaded[d.source][d.record].ids) for d in stream]
    assert sorted(drawn) == [7, 7, 7, 7, 15, 15, 15, 15]
