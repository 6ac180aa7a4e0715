"""Files that are no JSON lines, and lines that are no JSON, in words that say what would be right."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.core.json_lines import check_unicode, lines_of, parse_line

LINE = b'{"prompt": "caf\xc3\xa9"}\n'
TEXT = LINE.decode()


def values(path: Path) -> list[Any]:
    return [parse_line(line, f"{path.name}:{number}") for number, line in lines_of(path)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(LINE, mtime=0), "the file is gzip-compressed; unpack it (gunzip); it must be JSON lines"),
        (b"\x28\xb5\x2f\xfd\x04", "x.jsonl:1: the file is zstd-compressed; unpack it (unzstd)"),
        (b"PK\x03\x04rest", "x.jsonl:1: the file is a zip archive; unpack it"),
        (b"PAR1\x15\x04", "x.jsonl:1: the file is a Parquet file; it must be"),
        (b"ARROW1\x00\x00", "x.jsonl:1: the file is an Arrow file"),
        (TEXT.encode("utf-16"), "x.jsonl:1: the file is UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
        (TEXT.encode("utf-16-le"), "x.jsonl:1: the file is UTF-16; convert it: iconv -f UTF-16LE -t UTF-8"),
        (TEXT.encode("utf-16-be"), "x.jsonl:1: the file is UTF-16; convert it: iconv -f UTF-16BE -t UTF-8"),
        (LINE + TEXT.encode("latin-1"), "x.jsonl:2: not UTF-8 (byte 15 of the line); convert the file: iconv -f"),
        (LINE + b'{"half": "\xed\xa0\xbd"}', "x.jsonl:2: not UTF-8 (byte 10 of the line)"),
        (json.dumps([{"a": 1}], indent=1).encode(), "the file is a list over several lines: jq -c '.[]' makes lines of "
            "it; it must be JSON lines"),
        (json.dumps({"a": 1}, indent=1).encode(), "x.jsonl:1: the file is an object over several lines; it must be"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "x.jsonl:1: a whole number has more than 4,300 digits; write it as a string"),
        (b'{"a": 1}{"a": 2}', "x.jsonl:1: not valid JSON (Extra data, column 9); write one object a line"),
        (b'{"a": 1, "a": 2}', "x.jsonl:1: the key 'a' stands twice in one object; keep one of them"),
    ],
)  # fmt: skip
def test_what_is_no_json_lines_is_refused_with_what_would_be_right(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        values(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + LINE, LINE.replace(b"\n", b"\r\n"), LINE[:-1], b"\n \n" + LINE])
def test_editors_leave_marks_that_mean_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    assert values(tmp_path / "x.jsonl") == [{"prompt": "café"}]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_nesting_is_refused_before_anything_recurses_too_deeply(opening: str, closing: str) -> None:
    def nested(levels: int) -> bytes:
        return (opening * levels + "1" + closing * levels).encode()

    parse_line(nested(100), "here")
    for levels in (101, 500, 990, 5_000, 100_000):
        with pytest.raises(UserError, match=r"^here: nested too deeply; 100 levels are the most$"):
            parse_line(nested(levels), "here")
    parse_line(b"[" + b",".join([b"{}"] * 1000) + b"]", "here")  # many, but beside one another


def test_numbers_of_any_size_that_python_reads_are_taken() -> None:
    assert parse_line(b"1" + b"0" * 4_000, "here") == 10**4_000
    assert parse_line(b"-18446744073709551617", "here") == -(2**64) - 1


@pytest.mark.parametrize("value", ["ok \ud83d", {"\udc00": 1}, [{"a": ["é", ("x", "\ud800x")]}], {"a": "\ud83d\ud83d"}])
def test_half_of_a_surrogate_pair_is_found_wherever_it_is(value: Any) -> None:
    with pytest.raises(UserError, match=r"^here: the text .* ends in half of a surrogate pair \(\\ud[8c]"):
        check_unicode(value, "here")


def test_whole_characters_pass() -> None:
    check_unicode(parse_line(b'["\\ud83d\\ude00", "\xf0\x9f\x98\x80", 3, null, true]', "here"), "here")


@pytest.mark.skipif(not os.geteuid(), reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(LINE)
    path.chmod(0)
    with pytest.raises(UserError, match=r"x\.jsonl cannot be read: Permission denied"):
        values(path)
