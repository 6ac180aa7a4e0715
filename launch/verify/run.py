"""`reprise verify` from end to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rich.console import Console

from buffer.errors import UserError
from launch.verify import answers, origin, verdicts
from launch.verify.answers import Checked
from launch.verify.judging import Judges, Ready
from launch.verify.origin import Origin
from launch.verify.progress import JudgingProgress
from launch.verify.tally import Tally, plan_table, verdict_table
from launch.verify.verdicts import Recorded, VerdictFile, to_line
from launch.verify.window import Window
from rewards.base import Verifier
from rewards.judging import Judge
from rewards.registry import build_verifier
from rewards.settings import RewardSettings

BATCH = 16
# Answers between the first without a verdict and the last that is being judged. A killed run judges these again.
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


def verify(settings: RewardSettings, source: Path, target: Path, console: Console) -> Tally:
    """Give every answer of `source` a line in `target`, going on where an earlier call was ended, and print the table.

    UserError, before anything is judged, if an answer cannot be judged or `target` holds something else.
    """
    checked = check(settings, source, target)
    used = sorted({asked.verifier for asked in checked.asked})
    with VerdictFile(target) as file:
        # Read once more now that nobody else writes it.
        verdicts.check_order(target, file.recorded, [asked.id for asked in checked.asked])
        Origin(len(checked.asked), checked.digests[len(checked.asked)], _describe(settings, used)).write(target)
        tally, done = Tally(), len(file.recorded)
        for asked, verdict in zip(checked.asked, file.recorded):
            tally.add(asked.domain, verdict)
        if done:
            console.print(f"{done:,} of {len(checked.asked):,} answers had their verdict in {target}", highlight=False)
        if done < len(checked.asked):
            _judge(settings, source, checked, done, file, tally)
    console.print(verdict_table(tally))
    return tally


def check(settings: RewardSettings, source: Path, target: Path) -> Checked:
    """All that can be wrong, without writing anything. UserError names file, line and field."""
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"--output {target} is --input itself; name another file")
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
    """For `--dry-run`: what would be judged."""
    checked = check(settings, source, target)
    console.print(plan_table(Counter((asked.domain, asked.verifier) for asked in checked.asked)))
    done = len(verdicts.recorded(target))
    there = f", {done:,} of them have their verdict in {target}" if done else ""
    console.print(f"{len(checked.asked):,} answers can be judged{there}. Nothing was judged.", highlight=False)


def _judge(
    settings: RewardSettings, source: Path, checked: Checked, done: int, file: VerdictFile, tally: Tally
) -> None:
    def make(name: str) -> Judge:
        return Judge({name: build_verifier(name, settings.verifiers[name])}, settings.retries)

    def write(ready: Ready) -> None:
        file.append(to_line(answer.task.id, verdict) for _, answer, verdict in ready)
        for _, answer, verdict in ready:
            tally.add(answer.task.domain, Recorded.of(answer.task.id, verdict))

    window = Window(answers.read(source, done), done, WINDOW, BATCH)
    judges = Judges(sorted({asked.verifier for asked in checked.asked[done:]}), make, settings.timeout_s)
    try:
        with JudgingProgress(len(checked.asked), done) as progress:
            judges.judge(window, write, lambda: progress.show(tally))
    finally:
        judges.close()


def _describe(settings: RewardSettings, used: Iterable[str]) -> dict[str, object]:
    return {name: settings.verifiers[name].model_dump(mode="json", include={"use", "args"}) for name in used}
