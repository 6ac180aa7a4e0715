"""Every number a run reports: what it is called, in which unit, what it means, and the file that keeps it.

`METRICS` is the one table. `python -m reprise.launch.reporting.metrics > docs/metrics.md` prints the page from it, and
a line with a name outside it, or without a core name, is refused, so that a renamed metric cannot vanish unnoticed.
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, SupportsFloat

from reprise.core.errors import UserError
from reprise.core.files import write_atomically
from reprise.core.json_lines import objects_in


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. A name may end in `<domain>`, any task domain (and, under `eval/`, `all`), in `<verifier>`,
    any of the recipe's, or in `<reason>`."""

    name: str
    unit: str
    meaning: str
    core: bool = True  # whether every training step must report it


METRICS: tuple[Metric, ...] = (
    Metric(
        "reward/mean", "score", "mean raw score of all answers scored since the last step, those of rejected groups too"
    ),
    Metric("reward/<domain>", "score", "the same for one domain; absent when none of it was verified", core=False),
    Metric(
        "unparseable/<domain>",
        "share",
        "answers verified since the last step that could not be found or read, whether that masks them or scores 0",
        core=False,
    ),
    Metric("infra_error/<domain>", "share", "answers not verified, by no fault of theirs", core=False),
    Metric("policy/entropy", "nats/token", "mean entropy of the policy over trained tokens; falling to 0 is collapse"),
    Metric("policy/clip_low", "share", "trained tokens whose ratio was clipped at 1 − ε_low"),
    Metric("policy/clip_high", "share", "trained tokens whose ratio was clipped at 1 + ε_high"),
    Metric("policy/ratio_max", "ratio", "largest importance ratio ρ of any trained token"),
    Metric(
        "policy/mismatch_kl",
        "nats/token",
        "estimated KL of learner from engine on tokens of the batch's own version: numerical disagreement only; where "
        "the batch has none, on a few sampled for it",
    ),
    Metric("policy/offpolicy_kl", "nats/token", "the same over all trained tokens: staleness and reuse included"),
    Metric("policy/is_truncated", "share", "trained tokens whose correction π_prox/μ was cut at the importance cap"),
    Metric("loss/policy", "loss", "policy loss, normalised over the whole batch"),
    Metric("optim/grad_norm", "norm", "global gradient norm before clipping"),
    Metric("optim/lr", "1/step", "learning rate of the step"),
    Metric("optim/skipped", "steps", "optimiser steps skipped for a non-finite loss or gradient, in this step"),
    Metric("reuse/fraction", "share", "groups of the batch that had been trained on before"),
    Metric(
        "reuse/staleness_mean", "versions", "mean age of the batch's groups: learner's version minus the oldest token's"
    ),
    Metric("groups/zero_variance", "groups", "groups rejected since the last step because every score was the same"),
    Metric("trajectories/unparseable", "trajectories", "answers since the last step that could not be read: masked"),
    Metric("trajectories/truncated", "trajectories", "responses since the last step that the token limit cut off"),
    Metric(
        "trajectories/invalid_logprobs",
        "trajectories",
        "responses since the last step with a log-probability that is not finite or above 0: masked",
    ),
    Metric("trajectories/infra_error", "trajectories", "verdicts lost since the last step, not by the answer's fault"),
    Metric("tokens/response_mean", "tokens", "mean response length of the batch"),
    Metric("time/step", "s", "wall time of the step, from one published version to the next"),
    Metric("time/learn", "s", "learner's passes and optimiser steps"),
    Metric("time/generate", "s", "mean time of a group in the engine; beside the learner, so no part of the step"),
    Metric("time/verify", "s", "mean time of a group in its verifier; beside the learner too"),
    Metric("time/publish", "s", "sending, loading and checking the new weights"),
    Metric("time/learner_idle", "share of step", "part of the step the learner waited for a batch"),
    Metric("time/engine_idle", "share of step", "part of the step the engines had nothing to run (mean over engines)"),
    Metric("throughput/tokens_per_second", "tokens/s", "response tokens sampled a second, all engines together"),
    Metric(
        "policy/clip_dual",
        "share",
        "trained tokens of negative advantage whose ratio met learner.dual_clip",
        core=False,
    ),
    Metric("policy/mismatch_abs", "nats/token", "mean |difference| behind policy/mismatch_kl", core=False),
    Metric("tokens/trained", "tokens", "trainable tokens of the step, counted once a pass", core=False),
    Metric("packing/padding", "share", "computed tokens that are padding", core=False),
    Metric("packing/imbalance", "share", "FLOPs of the most loaded data-parallel rank over the mean, − 1", core=False),
    Metric("policy/reference_kl", "nats/token", "KL of the policy from the reference (learner.kl_coef)", core=False),
    Metric("groups/admitted", "groups", "groups stored since the last step", core=False),
    Metric("groups/too_few_scored", "groups", "groups rejected: fewer than two scored answers", core=False),
    Metric("groups/all_masked", "groups", "groups rejected: masking left nothing to train on", core=False),
    Metric("groups/trained", "groups", "groups of the batch", core=False),
    Metric("groups/reused", "groups", "those of them that had been trained on before", core=False),
    Metric("trajectories/sampled", "trajectories", "responses verified since the last step", core=False),
    Metric("trajectories/trained", "trajectories", "trajectories in the batch's loss", core=False),
    Metric("trajectories/reused", "trajectories", "those of them that had been trained on before", core=False),
    Metric("fresh/staleness_max", "versions", "age of the oldest fresh group; at most max_staleness", core=False),
    Metric("buffer/fresh", "groups", "fresh groups waiting after the batch was taken", core=False),
    Metric("buffer/reusable", "groups", "groups that may be trained on again", core=False),
    Metric("buffer/bytes", "bytes", "arrays and verdicts held by the buffer", core=False),
    Metric("evicted/max_uses", "groups", "groups used as often as they may be, since the last step", core=False),
    Metric("evicted/max_age", "groups", "groups grown too old for reuse, since the last step", core=False),
    Metric("evicted/memory", "groups", "groups evicted for the memory bound, since the last step", core=False),
    Metric("publish/mismatch", "nats/token", "mean |difference| of fixed tokens after the update", core=False),
    Metric("rollout/recomputed_tokens", "tokens", "tokens recomputed because weights changed under them", core=False),
    Metric(
        "rollout/sampled_again",
        "groups",
        "groups sampled again since the last step because the engine broke a response off by an error of its own",
        core=False,
    ),
    Metric(
        "rollout/left_out",
        "tasks",
        "tasks left out since the last step because their prompt leaves no tokens for a response",
        core=False,
    ),
    Metric(
        "publish/bytes_per_second", "bytes/s", "weight bytes published a second, load and check included", core=False
    ),
    Metric("verify/seconds_p50/<verifier>", "s", "median time of a group in this verifier", core=False),
    Metric("verify/seconds_p95/<verifier>", "s", "95th percentile of the same", core=False),
    Metric("verify/queue_seconds/<verifier>", "s", "mean wait of a group for this verifier, before that", core=False),
    Metric("verify/reason/<reason>", "answers", "answers verified since the last step, by their reason", core=False),
    Metric("verifier/restarts", "actors", "verifier actors lost (and restarted) since the last step", core=False),
    Metric(
        "verifier/rejudged",
        "answers",
        "answers verified again since the last step because their actor was lost",
        core=False,
    ),
    Metric(
        "verifier/held_back", "batches", "batches since the last step that found a verifier's queue full", core=False
    ),
    Metric("verifier/waiting", "batches", "batches that waited for a verifier when the step ended", core=False),
    Metric("eval/pass_at_1/<domain>", "share", "held-out pass@1, always over the same tasks", core=False),
    Metric("eval/pass_at_1_low/<domain>", "share", "lower end of its 95% interval", core=False),
    Metric("eval/pass_at_1_high/<domain>", "share", "upper end of its 95% interval", core=False),
    Metric("eval/parseable/<domain>", "share", "held-out responses whose answer could be read", core=False),
    Metric("eval/tokens_mean/<domain>", "tokens", "mean response length in the evaluation", core=False),
    Metric(
        "eval/tasks/<domain>",
        "tasks",
        "held-out tasks that these are over: those that every evaluation of the run has, less those none of whose "
        "answers could be verified; before and after over all tasks are in summary.json",
        core=False,
    ),
    Metric("tracking/failures", "calls", "calls to the experiment tracker that failed so far", core=False),
)

SFT_METRICS: tuple[Metric, ...] = (
    Metric("loss/train", "nats/token", "mean negative log-likelihood of the step's trained tokens, before the step"),
    Metric("optim/lr", "1/step", "learning rate of the step"),
    Metric("optim/grad_norm", "norm", "global gradient norm before clipping; null if the step was skipped"),
    Metric("optim/skipped", "steps", "1 if the step was skipped for a non-finite loss or gradient"),
    Metric("tokens/trained", "tokens", "tokens of the step that are trained on"),
    Metric("tokens/read", "tokens", "all tokens of the step's conversations"),
    Metric("packing/padding", "share", "computed tokens that are padding"),
    Metric("packing/imbalance", "share", "FLOPs of the most loaded data-parallel rank over the mean, − 1"),
    Metric("data/context", "tokens", "longest conversation the step may have"),
    Metric("data/stage", "number", "stage of the curriculum, from 1"),
    Metric("data/share/<source>", "share", "what the mixture gives the source at this step"),
    Metric("time/step", "s", "wall time of the step"),
    Metric("time/learn", "s", "learner's passes and optimiser step"),
    Metric("throughput/tokens_per_second", "tokens/s", "tokens read a second of step"),
    Metric("eval/loss/<domain>", "nats/token", "held-out loss of a domain after this step", core=False),
    Metric("tracking/failures", "calls", "calls to the experiment tracker that failed so far", core=False),
)


class Names:
    """The names that a table allows, and those that every line of a training step must have."""

    def __init__(self, table: Sequence[Metric]) -> None:
        self.core = frozenset(m.name for m in table if m.core and "<" not in m.name)
        self._exact = frozenset(m.name for m in table if "<" not in m.name)
        self._prefixes = tuple(m.name.partition("<")[0] for m in table if "<" in m.name)

    def __contains__(self, name: str) -> bool:
        return name in self._exact or any(name.startswith(p) and "/" not in name[len(p) :] > "" for p in self._prefixes)

    def check(self, metrics: Mapping[str, object]) -> None:
        """Raise ValueError if a name is not in the table, or if a line of a training step lacks a core name.

        A line that holds nothing but `eval/` names is an evaluation (the one before training is step 0) and needs no
        core names.
        """
        unknown = sorted(name for name in metrics if name not in self)
        if unknown:
            raise ValueError(f"unknown metric names {unknown}: give each a row in launch/reporting/metrics.py")
        missing = sorted(self.core - metrics.keys())
        if missing and not all(name.startswith("eval/") for name in metrics):
            raise ValueError(
                f"the step lacks {missing}, core names of launch/reporting/metrics.py; send NaN if undefined"
            )


RL_NAMES, SFT_NAMES = Names(METRICS), Names(SFT_METRICS)
CORE = RL_NAMES.core


def as_json_number(value: SupportsFloat) -> float | int | None:
    """A plain int or finite float; None for NaN and infinities, which JSON does not have."""
    if isinstance(value, bool | int):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


class MetricsLog:
    """`metrics.jsonl`: one JSON object a step, `{"step": 3, "reward/mean": 0.5, ...}`, on disk when `write` returns.

    The file is locked while it is open, which the kernel ends with the process: so `is_written` tells a run that
    is still going from one that was killed.
    """

    def __init__(self, path: Path, names: Names = RL_NAMES) -> None:
        self.path = path
        self._names = names
        self._file = path.open("a", encoding="utf-8")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Append the line of one step. Numbers may be Python's, numpy's or 0-dimensional tensors; NaN becomes null."""
        self._names.check(metrics)
        line = {"step": step} | {name: as_json_number(value) for name, value in metrics.items()}
        try:
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:  # a full disk, say: it names no file by itself
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_written(path: Path) -> bool | None:
    """Whether a process has this `MetricsLog` open; None if the file system cannot say."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return False


def refuse_if_written(path: Path) -> None:
    """`UserError` if another process writes this file, and so the run's other files too."""
    if is_written(path):
        raise UserError(f"{path.parent} is being written by a run that is still going; stop that one first")


def cut_after(path: Path, step: int, final: int | None = None) -> list[dict[str, Any]]:
    """Remove the lines of `metrics.jsonl` that are later than `step`, which a resumed run will write again, and return
    the others.

    So does the evaluation after step `final`, the run's last, which is made once more. A last line that a killed run
    left half-written goes too.
    """
    if not path.exists():
        return []
    kept = [
        (line, values)
        for line, values in objects_in(path.read_text(encoding="utf-8"))
        if values and isinstance(at := values.get("step"), int) and at <= step
        if not (at == final and is_evaluation(values))
    ]
    write_atomically(path, "".join(line for line, _ in kept))
    return [values for _, values in kept]


def is_evaluation(line: Mapping[str, object]) -> bool:
    """Whether a line of `metrics.jsonl` is of an evaluation: it has nothing else."""
    return all(name == "step" or name.startswith("eval/") for name in line)


def as_markdown() -> str:
    """`docs/metrics.md`, from the tables."""
    head = """\
# Metrics

One line a step in `runs/<name>/metrics.jsonl`, and the same names in wandb. What is not a number is `null`.
An evaluation holds `eval/` names; step 0 is the one before training. *Core* names are in every training step.
Printed by `python -m reprise.launch.reporting.metrics > docs/metrics.md`.
"""
    return head + _table("RL: `reprise train`", METRICS) + _table("SFT: `reprise sft`", SFT_METRICS)


def _table(title: str, metrics: Sequence[Metric]) -> str:
    bar = r"\|"  # in a cell; a bare one would begin the next
    rows = [f"| `{m.name}` | {m.unit} | {m.meaning.replace('|', bar)} | {'yes' if m.core else ''} |" for m in metrics]
    return "\n".join(["", f"## {title}", "", "| name | unit | meaning | core |", "|---|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
