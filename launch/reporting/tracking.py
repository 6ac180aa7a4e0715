"""wandb beside our own files: offline unless configured, and never a reason for a run to stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, SupportsFloat

from reprise.launch.recipe.settings import TrackingSettings
from reprise.launch.reporting.metrics import as_json_number
from reprise.launch.reporting.run_folder import RunFolder

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run


class Tracker:
    """Sends each step's metrics to wandb, below `<run folder>/wandb/`.

    Offline needs neither network nor login; online without a login, or one that fails to start, becomes offline and
    says so. A call that fails is counted in `failures` and noted once, and the run continues: its own files hold all.

    A resumed run continues the wandb run that its folder names, from the step `resumed_at` of its checkpoint on:
    later steps are taken off wandb's history, as they are off metrics.jsonl. Offline this is written into the new part,
    and `wandb sync` does it, part after part. Where a server cannot, a note says so, and it becomes a new wandb run.
    """

    def __init__(
        self,
        settings: TrackingSettings,
        run: RunFolder,
        config: Mapping[str, object],
        note: Callable[[str], None],
        resumed_at: int | None = None,
    ) -> None:
        self.failures = 0
        former = None if resumed_at is None else _last_id(run.path)
        self._resume_from = former and f"{former}?_step={resumed_at}"
        self._note = note
        self._run: Run | None = None
        if settings.wandb == "disabled":
            return
        # wandb reports its own errors over the network unless asked not to, and reads this when it is imported.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_SILENT", "true")
        self._guarded(lambda: self._start(settings, run, config))

    def log(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Send one step; names are those of metrics.jsonl. A value that is not a number is left out."""
        if (run := self._run) is None:
            return
        numbers = {name: as_json_number(value) for name, value in metrics.items()}
        defined = {name: value for name, value in numbers.items() if value is not None}
        self._guarded(lambda: run.log(defined, step=step))

    def close(self, failed: bool = False) -> None:
        """End the wandb run and its service process."""
        if (run := self._run) is None:
            return
        import wandb

        self._guarded(lambda: run.finish(exit_code=int(failed)))
        self._guarded(lambda: wandb.teardown())
        self._run = None

    def _start(self, settings: TrackingSettings, run: RunFolder, config: Mapping[str, object]) -> None:
        import wandb

        def start(mode: Literal["offline", "online"]) -> Run:
            quiet = wandb.Settings(
                silent=True,
                console="off",  # leave stdout alone: the progress display owns it
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
                init_timeout=30,
                finish_timeout=30,
            )
            return wandb.init(
                mode=mode,
                project=settings.project,
                name=run.name,
                dir=str(run.path),
                config=dict(config),
                settings=quiet,
                resume_from=self._resume_from,
            )

        if settings.wandb == "online":
            try:
                if wandb.login(prompt=False):
                    self._run = self._resumed_or_new(lambda: start("online"))
                    return
                reason = "no login found (run `wandb login`)"
            except Exception as error:  # noqa: BLE001  (whatever wandb's client raises: offline still works)
                reason = _one_line(error)
            parts = f"{run.path / 'wandb' / 'offline-run-*'}"
            self._failed(f"wandb is not online: {reason}. Tracked offline; `wandb sync {parts}` sends it later.")
        self._run = start("offline")

    def _resumed_or_new(self, start: Callable[[], Run]) -> Run:
        """An online run; a new one where the server does not take steps off a run's history."""
        if self._resume_from is None:
            return start()
        try:
            return start()
        except Exception as error:  # noqa: BLE001  (whatever a server's refusal becomes)
            self._failed(f"wandb does not continue {self._resume_from} ({_one_line(error)}): this is a new wandb run")
            self._resume_from = None
            return start()

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  (tracking must not end a run, whatever a third party raises)
            self._failed(f"wandb failed ({_one_line(error)}); the run continues, and metrics.jsonl has everything")

    def _failed(self, message: str) -> None:
        self.failures += 1
        if self.failures == 1:
            self._note(message)


def _last_id(run: Path) -> str | None:
    """The id of the wandb run that a run folder holds parts of: wandb/[offline-]run-<date>_<time>-<id>."""
    parts = sorted((part.name.rpartition("run-")[2] for part in (run / "wandb").glob("*run-*_*-*")), reverse=True)
    return parts[0].split("-", 1)[1] if parts else None


def _one_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
