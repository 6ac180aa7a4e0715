"""Files of JSON lines, read strictly: what is wrong with one is the user's error, never a traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reprise.core.errors import UserError
from reprise.core.strict_json import KeyTwice, deeper, unique_keys

# Far below where Python's recursion ends, in the parser and in whatever reads the value later.
_DEEPEST = 100
_BOM = b"\xef\xbb\xbf"
# What other files begin with, and what would make JSON lines of them.
_OTHERS = (
    (b"\x1f\x8b", "gzip-compressed; unpack it (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed; unpack it (unzstd)"),
    (b"BZh", "bzip2-compressed; unpack it (bunzip2)"),
    (b"\xfd7zXZ\x00", "xz-compressed; unpack it (unxz)"),
    (b"PK\x03\x04", "a zip archive; unpack it"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\xff\xfe", "UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
    (b"{\x00", "UTF-16; convert it: iconv -f UTF-16LE -t UTF-8"),
    (b"\x00{", "UTF-16; convert it: iconv -f UTF-16BE -t UTF-8"),
)
# All that the first line of JSON over several lines may have.
_SEVERAL_LINES = {
    b"[": "a list over several lines: jq -c '.[]' makes lines of it",
    b"{": "an object over several lines",
}


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, content) of the lines that are not blank.

    UserError for a file that cannot be read, or whose first bytes show it to be of another kind.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if number == 1:
                    _refuse_others(path, line)
                if line.strip():
                    yield number, line.rstrip(b"\r\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _refuse_others(path: Path, line: bytes) -> None:
    several = _SEVERAL_LINES.get(line.removeprefix(_BOM).strip())
    for what in [what for begins, what in _OTHERS if line.startswith(begins)] + ([several] if several else []):
        raise UserError(f"{path}:1: the file is {what}; it must be JSON lines in UTF-8, one object a line")


def parse_line(line: bytes | str, where: str, right: str = "write one object a line") -> object:
    """The JSON value of a line, or of a text inside one.

    `UserError`, which begins with `where` (file and line), if it is none, or has a key twice in one object, of which
    JSON itself would silently drop one. `right` says what may stand there.
    """
    try:
        # Decoded here: json would guess UTF-16 of bytes, and let halves of surrogate pairs pass.
        text = line if isinstance(line, str) else line.removeprefix(_BOM).decode()
        value = json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg}, column {error.colno}); {right}") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: not UTF-8 (byte {error.start} of the line); convert the file: iconv -f ITS-ENCODING -t UTF-8"
        ) from None
    except RecursionError:
        raise UserError(f"{where}: nested too deeply; {_DEEPEST} levels are the most") from None
    except KeyTwice as error:
        raise UserError(f"{where}: the key {error.key!r:.80} stands twice in one object; keep one of them") from None
    except ValueError:  # of a number: Python takes quadratic time to read one, and refuses long ones
        most = sys.get_int_max_str_digits()
        raise UserError(f"{where}: a whole number has more than {most:,} digits; write it as a string") from None
    if text.count("[") + text.count("{") > _DEEPEST and deeper(value, _DEEPEST):
        raise UserError(f"{where}: nested too deeply; {_DEEPEST} levels are the most")
    return value


def objects_in(text: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """The lines of a file that we wrote ourselves, newline included, each with its object: None where there is none,
    as in a last line that a killed process left half-written."""
    for line in text.split("\n"):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            yield f"{line}\n", value if isinstance(value, dict) else None


def check_unicode(value: object, where: str) -> None:
    """Refuse text with half of a surrogate pair, as programs leave it that cut text by UTF-16 units: it is no Unicode,
    and no tokenizer takes it. `UserError`, which names the text."""
    for text in _texts(value):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise UserError(
                    f"{where}: the text {text[max(0, error.start - 20) : error.start + 1]!r:.80} ends in half of a "
                    f"surrogate pair (\\u{ord(text[error.start]):04x}); write the whole character, or leave it out"
                ) from None


def _texts(value: object) -> Iterator[str]:
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            left += each
            left += each.values()
        elif isinstance(each, list | tuple):
            left += each
