"""The folder of one run: where everything that outlives the run is written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from reprise.core.errors import UserError
from reprise.core.files import absence, dangling, write_atomically
from reprise.core.json_lines import objects_in


@dataclass(frozen=True, slots=True)
class Sample:
    """One evaluated response, kept for users to read (a line of `samples.jsonl`).

    when    "before" or "after" RL
    score   the raw score, None unless the status is "scored"
    status  "scored", "unparseable" or "infra_error"
    """

    when: str
    domain: str
    task_id: str
    prompt: str
    response: str
    status: str
    score: float | None = None
    expected: object = None


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of one run below `runs/<name>/`, and atomic writes into it."""

    path: Path

    @classmethod
    def create(cls, runs_dir: Path | str, name: str) -> RunFolder:
        """Make a new folder `runs_dir/name`, or `name-2`, `name-3`, ... if it exists: no run overwrites another.

        `UserError` if it cannot be made.
        """
        try:
            Path(runs_dir).mkdir(parents=True, exist_ok=True)
            number, path = 1, Path(runs_dir) / name
            while True:
                try:
                    path.mkdir()  # also settles who gets it when two runs start at once
                    return cls(path.absolute())
                except FileExistsError:
                    number += 1
                    path = Path(runs_dir) / f"{name}-{number}"
        except OSError as error:
            why = absence(Path(runs_dir)) if dangling(Path(runs_dir)) else error.strerror
            raise UserError(f"runs_dir {runs_dir}: no folder for the run {name!r} can be made in it: {why}") from error

    @classmethod
    def existing(cls, path: Path | str) -> RunFolder:
        """The folder of a run that is to continue. `UserError` if it is none."""
        folder = Path(path)
        if not (folder / "recipe.yaml").is_file():
            raise UserError(f"{folder} is not a run's folder: it has no recipe.yaml; name a folder such as runs/demo")
        return cls(folder.absolute())

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def policy_start(self) -> Path:
        """The policy that a builder made, as it was before training."""
        return self.path / "policy-start"

    @property
    def reference(self) -> Path:
        """The policy as RL began, where supervised stages came before and the objective has a KL term."""
        return self.path / "policy-reference"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def checkpoints_before(self) -> Path:
        """Checkpoints of what comes before RL."""
        return self.path / "checkpoints-before"

    @property
    def policy(self) -> Path:
        """The final policy, a Hugging Face folder."""
        return self.path / "policy"

    @property
    def logs(self) -> Path:
        """One file for each actor: what it and its libraries wrote. Ray's own below `ray`, where a run has failed."""
        return self.path / "logs"

    def latest_checkpoint(self) -> Path | None:
        """The last complete checkpoint, of RL or else of what comes before it."""
        from reprise.learner.checkpoints.folder import latest  # imports torch, for which a report need not wait

        return latest(self.checkpoints) or latest(self.checkpoints_before)

    @property
    def stopped_before_rl(self) -> bool:
        """Whether it continues with what comes before RL: that has a checkpoint, and RL has none."""
        found = self.latest_checkpoint()
        return found is not None and found.parent == self.checkpoints_before

    def last_checkpoint(self, every: int) -> Path:
        """The same; `UserError` if there is none. `every` is the recipe's, for its words."""
        found = self.latest_checkpoint()
        if found is None:
            raise UserError(
                f"{self.path} has no complete checkpoint to go on from (checkpoints.every is {every}); start a new run"
            )
        return found

    def forget_rl(self) -> None:
        """Remove what was recorded of RL, which begins anew."""
        for file in (self.metrics, self.samples):
            file.unlink(missing_ok=True)

    def add_samples(self, samples: Iterable[Sample]) -> None:
        """Append samples to `samples.jsonl`. A lone surrogate in model text becomes its JSON escape."""
        with self.samples.open("a", encoding="utf-8", errors="backslashreplace") as file:
            for sample in samples:
                file.write(json.dumps(asdict(sample), ensure_ascii=False, default=str) + "\n")

    def drop_samples(self, when: str) -> None:
        """Remove the samples of an evaluation that will be made again, and a last line that is cut off."""
        if self.samples.exists():
            found = objects_in(self.samples.read_text(encoding="utf-8", errors="replace"))
            write_atomically(self.samples, "".join(line for line, sample in found if sample and sample["when"] != when))
