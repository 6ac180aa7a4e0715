"""Why answers could not be verified: the cause of an infra error, reported once for each kind with its traceback.

A verifier's failure is no answer's fault, so nothing in the answers shows it: whoever runs the verifier must see it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from reprise.core.printable import gist, middle_cut, printable, printable_lines, quantity
from reprise.core.types import Status, Verdict
from reprise.rewards.base import Reason

_WHAT_CHARS, _TRACEBACK_CHARS = 300, 4000
_LINKS = 4  # exceptions of a chain, the last raised first
_FIRST_FRAMES, _LAST_FRAMES = 4, 8  # of a deep stack: where the verifier begins, and where it failed
KINDS = 20  # kinds that are reported one by one; a verifier whose every failure looks new must not fill the screen
# How a failure travels in the detail of an infra error, from where it is caught to where it is reported.
_KEY = "infra_error"


@dataclass(frozen=True, slots=True)
class InfraError:
    """Something that kept answers from being verified.

    kind       what failures of one cause have in common
    what       it in one line, the verifier's name first
    traceback  of the exception, if one was raised: its outermost frames and its innermost ones
    answers    how many answers it left without a verdict for good; 0 if verifying them again helped
    broken     a defect of the verifier's code, as far as can be seen: it returned no verdicts, or raised something
               that no file, network or other machine has caused
    final      verifying the answers again cannot help
    """

    kind: str
    what: str
    traceback: str = ""
    answers: int = 0
    broken: bool = False
    final: bool = False

    def __str__(self) -> str:
        return f"{self.what}\n{self.traceback}".strip()


def raised(verifier: str, error: BaseException) -> Verdict:
    """An exception of a verifier as an infra error."""
    # The frame that caught it is ours and says nothing.
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    where = _place(trace)
    said = printable(f"{type(error).__name__}: {_message(error)}", _WHAT_CHARS)
    what = f"verifier {verifier!r} raised {said}{f' ({where})' if where else ''}"
    kind = f"{verifier} {type(error).__name__} {where}"
    broken = not any(isinstance(link, OSError) for link in _chain(error))
    return _verdict(what, kind, traceback_of(error), broken)


def no_verdicts(verifier: str, returned: object, answers: int) -> Verdict | None:
    """An infra error if `returned` is not a list of one verdict per answer; None if it is."""
    right = "return one Verdict per answer, such as Verdict.scored(1.0, Reason.CORRECT)"
    if not isinstance(returned, list | tuple):
        wrong = "None" if returned is None else f"{_article(type(returned).__name__)}, not a list"
    elif not all(isinstance(item, Verdict) for item in returned):
        kinds = dict.fromkeys(type(item).__name__ for item in returned)
        wrong = f"a {type(returned).__name__} of {' and '.join(kinds)}"
    elif len(returned) != answers:
        right = "return one Verdict per answer, in the order of the answers"
        wrong = f"{quantity(len(returned), 'verdict')} for {quantity(answers, 'answer')}"
    else:
        return None
    what = f"verifier {verifier!r}: verify returned {wrong}; {right}"
    return _verdict(what, gist(what), final=isinstance(returned, list | tuple) and len(returned) != answers)


def collected(verifier: str, verdicts: Iterable[Verdict]) -> list[InfraError]:
    """The infra errors among these verdicts of one verifier, by kind, the first of each."""
    found: dict[str, InfraError] = {}
    for verdict in verdicts:
        if verdict.status is Status.INFRA_ERROR:
            failure = _of(verifier, verdict)
            before = found.setdefault(failure.kind, failure)
            found[failure.kind] = replace(before, answers=before.answers + 1)
    return list(found.values())


def without_cause(verdict: Verdict) -> Verdict:
    """The verdict as it is kept: its cause, which is reported once, is not stored with each answer."""
    if verdict.status is not Status.INFRA_ERROR or _KEY not in verdict.detail:
        return verdict
    return replace(verdict, detail={key: value for key, value in verdict.detail.items() if key != _KEY})


def is_final(verdict: Verdict) -> bool:
    """Whether it is an infra error that verifying again cannot help."""
    cause = verdict.detail.get(_KEY)
    return verdict.status is Status.INFRA_ERROR and isinstance(cause, dict) and cause.get("final") is True


def carried(failures: Iterable[InfraError], verdict: Verdict) -> dict[str, object] | None:
    """What a composition puts into its own infra error as `infra_error`, so that its part's is reported; None if it has
    nothing to add."""
    for failure in failures:
        if failure.what == verdict.explanation:
            return {name: getattr(failure, name) for name in ("kind", "traceback", "broken", "final")}
    return None


class InfraErrors:
    """The failures of a whole run: the first of each kind, and how many answers each kind has cost."""

    def __init__(self) -> None:
        self._kinds: dict[str, InfraError] = {}
        self.others = 0  # answers lost to kinds beyond `KINDS`

    def add(self, failures: Iterable[InfraError]) -> list[InfraError]:
        """Count these; returns those that are the first of their kind."""
        new = []
        for failure in failures:
            before = self._kinds.get(failure.kind)
            if before is not None:
                self._kinds[failure.kind] = replace(before, answers=before.answers + failure.answers)
            elif len(self._kinds) < KINDS:
                self._kinds[failure.kind] = failure
                new.append(failure)
            else:
                self.others += failure.answers
        return new

    def __iter__(self) -> Iterator[InfraError]:
        """Those that cost most first."""
        return iter(sorted(self._kinds.values(), key=lambda failure: -failure.answers))

    @property
    def answers(self) -> int:
        """Answers that were left without a verdict."""
        return sum(failure.answers for failure in self._kinds.values()) + self.others


def _verdict(what: str, kind: str, trace: str = "", broken: bool = True, final: bool = False) -> Verdict:
    cause = {"kind": kind, "traceback": trace, "broken": broken, "final": final}
    return Verdict.infra_error(Reason.INFRA, what, **{_KEY: cause})


def _of(verifier: str, verdict: Verdict) -> InfraError:
    """What a verdict says of its cause: as it was caught here, or in the verifier's own words."""
    cause = verdict.detail.get(_KEY)
    if isinstance(cause, dict):
        kind, trace = (str(cause.get(name, "")) for name in ("kind", "traceback"))
        return InfraError(kind, verdict.explanation, trace, 0, cause.get("broken") is True, is_final(verdict))
    said = verdict.explanation or "could not verify, and did not say why"
    what = said if said.startswith(f"verifier {verifier!r}") else f"verifier {verifier!r}: {said}"
    return InfraError(f"{verifier} {gist(said)[:120]}", printable(what, _WHAT_CHARS))


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception that has just been caught, as Python prints it, causes included, but for the frame
    that caught it; long stacks and texts are cut in their middle."""
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    parts: list[str] = []
    for link in _chain(error):
        frames = traceback.extract_tb(trace if link is error else link.__traceback__)
        shown = traceback.format_list(frames)
        if (left_out := len(shown) - _FIRST_FRAMES - _LAST_FRAMES) > 0:
            shown[_FIRST_FRAMES:-_LAST_FRAMES] = [f"  … {left_out} more frames …\n"]
        said = printable_lines(_message(link), _WHAT_CHARS)
        parts.append(f"Traceback (most recent call last):\n{''.join(shown)}{type(link).__name__}: {said}")
    return printable_lines(middle_cut("\n\nand then:\n\n".join(reversed(parts)), _TRACEBACK_CHARS))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, what it was raised from, and so on."""
    link: BaseException | None = error
    for _ in range(_LINKS):
        if link is not None:
            yield link
            link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _place(trace: TracebackType | None) -> str:
    """`file.py:7`: where the verifier's own code was when it raised: the innermost frame of its outermost file."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(trace, limit=_FIRST_FRAMES + _LAST_FRAMES)
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return printable(f"{Path(own[-1].filename).name}:{own[-1].lineno}") if own else ""


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it may be a plug-in's own class
        return "its message cannot be read"


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
