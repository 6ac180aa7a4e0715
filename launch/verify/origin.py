"""Where a file of verdicts came from, kept in a small file beside it: which answers, and how they were verified.

Ids alone do not show that a task was answered anew: verdicts of old answers would pass for those of the new ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from reprise.core.errors import UserError
from reprise.core.files import replacing

_SUFFIX = ".origin"


@dataclass(frozen=True, slots=True)
class Origin:
    """answers    how many answers the input held when verifying began
    sha256     of their lines
    verifiers  `use` and `args` of every verifier that they name
    """

    answers: int
    sha256: str
    verifiers: Mapping[str, object]

    def write(self, verdicts: Path) -> None:
        """Put it beside the file of verdicts, whole or not at all."""
        with replacing(_place(verdicts)) as file:
            file.write(json.dumps(asdict(self), indent=1).encode())


def read(verdicts: Path) -> Origin | None:
    """The origin that was put beside a file of verdicts; None if there is none."""
    place = _place(verdicts)
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        return Origin(int(record["answers"]), str(record["sha256"]), dict(record["verifiers"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{place} cannot be read; delete it to go on with {verdicts} as it is") from None


def check(verdicts: Path, origin: Origin, digests: Mapping[int, str], verifiers: Mapping[str, object]) -> None:
    """Refuse to go on with verdicts of other answers, or of verifiers with other settings.

    digests    SHA-256 of the first n answers' lines as they are now, for n = `origin.answers` if there are so many
    verifiers  `use` and `args` of each verifier now
    """
    way_out = f"name another --output, or delete {_place(verdicts)} to go on all the same"
    if digests.get(origin.answers) != origin.sha256:
        raise UserError(
            f"{verdicts} holds verdicts of other answers: of the {origin.answers} that --input had then, some have "
            f"changed or gone (more may be added at the end, no more); {way_out}"
        )
    for name, was in origin.verifiers.items():
        if name in verifiers and verifiers[name] != was:
            raise UserError(
                f"{verdicts} holds verdicts of rewards.verifiers.{name} with {json.dumps(was)}, which now is "
                f"{json.dumps(verifiers[name])}; {way_out}"
            )


def _place(verdicts: Path) -> Path:
    return verdicts.with_name(verdicts.name + _SUFFIX)
