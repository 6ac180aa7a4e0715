"""One line of a file of JSON lines, read strictly: what is wrong with it is the user's error, never a traceback."""

from __future__ import annotations

import json
import sys
from typing import Any

from buffer.errors import UserError


def parse_line(line: bytes | str, where: str, right: str = "write one object a line") -> Any:
    """The JSON value of a line. `UserError`, which begins with `where` (file and line), if it is none, or has a key
    twice in one object, of which JSON itself would silently drop one. `right` says what may stand there."""
    try:
        return json.loads(line, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg}, column {error.colno}); {right}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 (byte {error.start} of the line)") from None
    except RecursionError:
        raise UserError(f"{where}: nested too deeply") from None
    except _KeyTwice as error:
        raise UserError(
            f"{where}: the key {error.args[0]!r:.80} stands twice in one object; keep one of them"
        ) from None
    except ValueError:  # of a number: Python takes quadratic time to read one, and refuses long ones
        most = sys.get_int_max_str_digits()
        raise UserError(f"{where}: a whole number has more than {most:,} digits; write it as a string") from None


class _KeyTwice(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        raise _KeyTwice(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return value
