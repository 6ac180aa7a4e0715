"""`reprise verify` from end to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text

from reprise.core.errors import UserError
from reprise.core.printable import printable, quantity
from reprise.core.types import Status
from reprise.launch.reporting.layout import Fitted
from reprise.launch.signals import run_interruptibly
from reprise.launch.verify import answers, origin, verdicts
from reprise.launch.verify.answers import Checked
from reprise.launch.verify.host import ProcessHost
from reprise.launch.verify.loop import Ready, verify_all
from reprise.launch.verify.origin import Origin
from reprise.launch.verify.printed import Printed
from reprise.launch.verify.progress import VerifyProgress
from reprise.launch.verify.tally import Tally, plan_table, verdict_table
from reprise.launch.verify.verdicts import Recorded, VerdictFile, to_line, writing
from reprise.rewards.base import Verifier
from reprise.rewards.infra_errors import InfraError, InfraErrors
from reprise.rewards.registry import build_verifier
from reprise.rewards.settings import RewardSettings

BATCH = 16
# Answers between the first without a verdict and the last that is being verified. A killed run verifies these again.
WINDOW = 256


class Named(Mapping[str, Verifier]):
    """The verifiers that tasks may name, each built when it is first asked for."""

    def __init__(self, settings: RewardSettings) -> None:
        self._settings = settings
        self._built: dict[str, Verifier] = {}

    def __getitem__(self, name: str) -> Verifier:
        if name not in self._built:
            self._built[name] = build_verifier(name, self._settings.verifiers[name])
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings.verifiers)

    def __len__(self) -> int:
        return len(self._settings.verifiers)

    def __contains__(self, name: object) -> bool:
        return name in self._settings.verifiers


@dataclass(slots=True)
class _Reported:
    """What verifiers reported: what they printed, notes, and what kept answers from being verified."""

    printed: Printed
    notes: list[str] = field(default_factory=list)
    errors: InfraErrors = field(default_factory=InfraErrors)


def verify(settings: RewardSettings, source: Path, target: Path, console: Console, retry_infra: bool = False) -> Tally:
    """Give every answer of `source` a line in `target`, continuing where an earlier call ended, and print the table.

    retry_infra  first verify answers with an infra error again; `target` is replaced when all have been

    UserError, before anything is verified, if an answer cannot be verified or `target` holds something else.
    """
    checked = check(settings, source, target)
    reported = _Reported(Printed(target.with_name(f"{target.name}.printed")))
    if retry_infra:
        with VerdictFile(target) as file:
            _verify_again(settings, source, checked, file, console, reported)
    with VerdictFile(target) as file:
        # Looked at once more now that nobody else writes it.
        verdicts.check_order(target, file.recorded, [asked.id for asked in checked.asked])
        used = {asked.verifier for asked in checked.asked}
        with writing(target):
            Origin(len(checked.asked), checked.digests[len(checked.asked)], _describe(settings, used)).write(target)
        tally, done = Tally(), len(file.recorded)
        for asked, verdict in zip(checked.asked, file.recorded):
            tally.add(asked.domain, verdict)
        if done:
            _say(console, f"{done:,} of {len(checked.asked):,} answers had their verdict in {target}")
        _verify(settings, source, checked, range(done, len(checked.asked)), tally, file.append, reported)
    console.print(Fitted(verdict_table(tally)))
    for text in dict.fromkeys(reported.notes):
        _say(console, f"Note: {text}")
    for error in reported.errors:
        if error.answers:
            _say(console, f"infra_error, {quantity(error.answers, 'answer')}: {error.what}")
    if not reported.printed.is_empty:
        _say(console, f"What verifiers printed is in {reported.printed.path}")
    if (lost := tally.all.statuses[Status.INFRA_ERROR]) and not retry_infra:
        _say(console, f"{lost:,} could not be verified (infra_error): --retry-infra verifies them again")
    return tally


def _say(console: Console, text: str) -> None:
    console.print(Text(printable(text)))


def check(settings: RewardSettings, source: Path, target: Path) -> Checked:
    """All that can be wrong, without writing anything. UserError names file, line and field."""
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"--output {target} is --input itself; name another file")
    if target.exists() and not target.is_file():
        raise UserError(f"--output {target} is no file: verdicts are appended to one, so that a killed run can go on")
    if not target.parent.is_dir():
        raise UserError(f"--output {target}: there is no folder {target.parent}")
    recorded, came_from = verdicts.recorded(target), origin.read(target)
    checked = answers.check(source, Named(settings), [came_from.answers] if came_from else [])
    if recorded and came_from:
        used = {asked.verifier for asked in checked.asked}
        origin.check(target, came_from, checked.digests, _describe(settings, used))
    verdicts.check_order(target, recorded, [asked.id for asked in checked.asked])
    return checked


def show_plan(settings: RewardSettings, source: Path, target: Path, console: Console) -> None:
    """For `--dry-run`: what would be verified."""
    checked = check(settings, source, target)
    console.print(Fitted(plan_table(Counter((asked.domain, asked.verifier) for asked in checked.asked))))
    done = len(verdicts.recorded(target))
    there = f", {done:,} of them have their verdict in {target}" if done else ""
    _say(console, f"{quantity(len(checked.asked), 'answer')} can be verified{there}. Nothing was verified.")


def _verify_again(
    settings: RewardSettings,
    source: Path,
    checked: Checked,
    file: VerdictFile,
    console: Console,
    reported: _Reported,
) -> None:
    verdicts.check_order(file.path, file.recorded, [asked.id for asked in checked.asked])
    places = [place for place, verdict in enumerate(file.recorded) if verdict.status is Status.INFRA_ERROR]
    _say(console, f"{quantity(len(places), 'answer')} with an infra error: verified again")
    lines: list[bytes] = []
    _verify(settings, source, checked, places, Tally(), lines.extend, reported)
    file.replace(dict(zip(places, lines, strict=True)))


def _verify(
    settings: RewardSettings,
    source: Path,
    checked: Checked,
    places: Sequence[int],
    tally: Tally,
    write: Callable[[Iterable[bytes]], None],
    reported: _Reported,
) -> None:
    """Verify the answers at these places. `write` is given their lines, in order."""
    if not places:
        return

    def create(name: str) -> ProcessHost:
        return ProcessHost(name, settings.verifiers[name], settings.retries, reported.printed)

    def take(ready: Ready) -> None:
        write([to_line(answer.task.id, verdict) for answer, verdict in ready])
        for answer, verdict in ready:
            tally.add(answer.task.domain, Recorded.of(answer.task.id, verdict))

    needed = sorted({checked.asked[place].verifier for place in places})
    chosen = {name: settings.verifiers[name] for name in needed}
    with VerifyProgress(tally.total + len(places), tally.total) as progress:

        def failed(failures: Sequence[InfraError]) -> None:
            for error in reported.errors.add(failures):
                progress.note(f"A verifier failed (infra_error; shown once for each kind):\n{error}")

        def idle() -> None:
            progress.show(tally)

        asked, limits = answers.read(source, places), {"window": WINDOW, "batch_size": BATCH}
        verifying = verify_all(asked, chosen, create, take, progress.note, failed, idle, **limits)
        reported.notes += run_interruptibly(verifying)


def _describe(settings: RewardSettings, used: Iterable[str]) -> dict[str, object]:
    return {name: settings.verifiers[name].model_dump(mode="json", include={"use", "args"}) for name in used}
