"""Everything a run tells: progress on the screen, metrics.jsonl, wandb, the summary, the table and the report."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, SupportsFloat, TypedDict

from reprise.actors.fleet import FleetStats
from reprise.actors.learner import Trained
from reprise.actors.sampler import Finished, TakenBatch
from reprise.actors.verifier_pool import PoolCounts
from reprise.data.tasks import TaskSets
from reprise.launch.recipe.loading import to_yaml
from reprise.launch.recipe.schema import Recipe, notes
from reprise.launch.reporting.ending import finish, resume_command
from reprise.launch.reporting.evaluated import Evaluated
from reprise.launch.reporting.metrics import MetricsLog, cut_after, is_evaluation, refuse_if_written
from reprise.launch.reporting.opening import Opening
from reprise.launch.reporting.progress import Progress
from reprise.launch.reporting.report import write_report
from reprise.launch.reporting.run_folder import RunFolder, write_atomically
from reprise.launch.reporting.statistics import Evaluation
from reprise.launch.reporting.summary import Summary, TrajectoryCounts
from reprise.launch.reporting.timeline import Timeline
from reprise.launch.reporting.tracking import Tracker
from reprise.launch.reporting.truncation import TruncationWatch
from reprise.launch.reporting.verifiers import Latencies, infra_error_watch, unparseable_watch
from reprise.learner.checkpoints.folder import step_of
from reprise.learner.publishing.report import PublishReport
from reprise.rewards.infra_errors import InfraError

# Counts since the last step that are failures without being the run's end.
_FAILURES = ("optim/skipped", "verifier/rejudged", "rollout/sampled_again", "rollout/left_out")
# Between two writings of summary.json while the run goes on: a time, and how often the last took that itself.
_TELL_EVERY_S, _TELL_SHARE = 2.0, 50
# What a learner leaves out when there is nothing to average: every step skipped, or no token of the batch's version.
_MAY_BE_UNDEFINED = (
    "policy/entropy",
    "policy/clip_low",
    "policy/clip_high",
    "policy/ratio_max",
    "policy/mismatch_kl",
    "policy/offpolicy_kl",
    "policy/is_truncated",
    "loss/policy",
    "optim/grad_norm",
    "optim/lr",
)


def phases(recipe: Recipe, resumed: bool) -> list[str]:
    """Those that a run will have, in order; a resumed one goes on where the first had been warmed up and evaluated."""
    once = [
        name
        for name, wanted in (("warm start", recipe.warm_start), ("before-eval", recipe.data.held_out))
        if wanted and not resumed
    ]
    return ["set-up", *once, "RL", *(["after-eval"] if recipe.data.held_out else []), "export"]


class RecorderState(TypedDict):
    """What a resumed run tells as its own, JSON-able."""

    before: dict[str, object] | None


class Recorder:
    """Collects what happens in a run and writes it where people and programs look. Leaving it writes the report.

    checkpoint   what a resumed run goes on from. Its lines that are later are removed: they will be written again.
    evaluated_at the step of the last evaluation during the run; -1: none yet
    """

    def __init__(self, recipe: Recipe, run: RunFolder, resumed: bool = False, opening: Opening | None = None) -> None:
        opening = opening or Opening()
        self.run = run
        refuse_if_written(run.metrics)
        self.checkpoint = run.last_checkpoint(recipe.checkpoints.every) if resumed else None
        self.evaluated_at = -1
        if self.checkpoint is not None:
            kept = cut_after(run.metrics, step_of(self.checkpoint), recipe.steps)
            self.evaluated_at = max((line["step"] for line in kept if is_evaluation(line)), default=-1)
            run.drop_samples("after")
        self.summary = Summary(run.name)
        self.progress = Progress(run.name, phases=phases(recipe, self.checkpoint is not None), started=opening.started)
        self._log = MetricsLog(run.metrics)
        resumed_at = None if self.checkpoint is None else step_of(self.checkpoint)
        config = recipe.model_dump(mode="json")
        self._tracker = Tracker(recipe.tracking, run, config, self.progress.note, resumed_at)
        self._timeline = Timeline()
        self._engines = [f"engine {i}" for i in range(recipe.rollout.engines)]
        self._started = time.time() - opening.seconds
        self._tell_from = self._started  # when summary.json may be written again
        self._rl_started: float | None = None
        self._step_started = self._started
        self._tokens = 0
        self._group_size = recipe.rollout.group_size
        self._groups: list[Finished] = []  # since the last step
        self._untold: tuple[int, TakenBatch, Trained] | None = None  # what `trained` told and `step` has not
        self._latencies = Latencies()
        self._verifiers = PoolCounts()  # since the last step
        self._sampled_again = self._left_out = 0  # since the last step
        self._watches = (
            infra_error_watch(recipe.rewards.infra_error_warning),
            unparseable_watch(recipe.rewards.unparseable_warning),
        )
        self._truncation = TruncationWatch(recipe)
        self._failures: dict[str, float] = dict.fromkeys((*_FAILURES, "verifier/restarts"), 0)
        write_atomically(run.recipe, to_yaml(recipe))
        for note in notes(recipe):
            self.progress.note(note)

    def __enter__(self) -> Self:
        return self

    def evaluated(self, step: int, evaluation: Evaluated, fleet: FleetStats, when: str = "") -> None:
        """A held-out evaluation, with the fleet's work in it: `when` is "before", "after", or empty during the run."""
        self._fleet_worked(fleet)
        self.evaluated_at = step
        if evaluation.curve is not None:
            self._write(step, evaluation.curve.metrics())
        for domain, (lost, asked) in evaluation.unjudged.items():
            result = evaluation.results.domains.get(domain)
            over = f"{result.tasks} of its {result.asked} tasks" if result else "no task at all"
            said = f"{lost} of {asked} held-out responses could not be judged (infra_error)"
            self.warned([f"{when or f'step {step}'}: {domain}: {said}: its score is over {over}"])
        if when:
            self.run.add_samples(evaluation.samples)
        if when == "before":
            self.summary.before = evaluation.results
        if when == "after":
            self.summary.after = evaluation.results
        self._step_started = time.time()
        self._tell()

    def state(self) -> RecorderState:
        """For `resumed`."""
        before = self.summary.before
        return {"before": before.to_json() if before else None}

    def resumed(self, state: RecorderState, step: int) -> None:
        """The run goes on from the checkpoint of `step`."""
        self.summary.before = Evaluation.from_json(state["before"]) if state["before"] else None
        self.summary.steps = step
        self.warned([f"resumed from the checkpoint of step {step}: counts and times below are of what came after it"])

    def tasks(self, tasks: TaskSets) -> None:
        """The tasks of the run, as they were read."""
        self.summary.tasks = {
            "train": sum(map(len, tasks.train)), "held_out": len(tasks.held_out), "excluded": tasks.excluded
        }  # fmt: skip
        for note in tasks.notes:
            self.progress.note(note)

    def rl_begins(self) -> None:
        """The clock of the RL phase starts."""
        self._rl_started = self._step_started = time.time()

    def trained(self, step: int, batch: TakenBatch, trained: Trained) -> None:
        """The learner has done `step`, and a checkpoint may hold it: told even if the run ends before `step` is."""
        self._untold = (step, batch, trained)

    def step(
        self,
        step: int,
        batch: TakenBatch,
        trained: Trained,
        published: PublishReport | None,
        fleet: FleetStats | None,
    ) -> None:
        """One RL step is done: `step` is the version it published. None for what the run did not get to any more."""
        now = time.time()
        self._untold = None
        self._timeline.add("learn", "learner", trained.started, trained.ended)
        if fleet is not None:
            self._fleet_worked(fleet)
        engines = fleet.engines if fleet is not None else ()
        seconds = now - self._step_started
        tokens = sum(stats.tokens for stats in engines)
        metrics = {
            **dict.fromkeys(_MAY_BE_UNDEFINED, float("nan")),
            **batch.info.metrics,
            **trained.metrics,
            **self._group_times(),
            **self._latencies.metrics(),
            "time/step": seconds,
            "time/learn": trained.ended - trained.started,
            "time/publish": published.seconds if published else math.nan,
            "time/learner_idle": min(1.0, batch.waited_seconds / seconds),
            "time/engine_idle": self._timeline.idle_share("generate", self._engines, self._step_started, now),
            "throughput/tokens_per_second": tokens / seconds,
            "rollout/recomputed_tokens": sum(stats.recomputed_tokens for stats in engines),
            "rollout/sampled_again": self._sampled_again,
            "rollout/left_out": self._left_out,
            "publish/bytes_per_second": published.nbytes / published.seconds if published else math.nan,
            "publish/mismatch": published.mismatch if published else math.nan,
            "verifier/restarts": self._verifiers.restarts,
            "verifier/rejudged": self._verifiers.rejudged,
            "verifier/held_back": self._verifiers.held_back,
            "verifier/waiting": fleet.verifiers.waiting if fleet else 0,
            "tracking/failures": self._tracker.failures,
        }
        self._verifiers = PoolCounts()
        self._sampled_again = self._left_out = 0
        self._tokens += tokens
        self._step_started = now
        self.summary.steps = step
        self._count(batch.info.counters)
        for name in _FAILURES:
            self._failures[name] += metrics[name]
        watches = (*self._watches, self._truncation)
        self.warned([f"step {step}: {warning}" for watch in watches for warning in watch.step(metrics)])
        self._write(step, metrics)
        if now >= self._tell_from:
            self._tell()

    def finished(self, group: Finished) -> None:
        """A group was stored or rejected."""
        self._groups.append(group)
        self._latencies.add(group.verifier, group.verify_seconds, group.queue_seconds)
        self.summary.answers = group.added.answers
        self._count(group.added.counters)

    def warned(self, warnings: Sequence[str]) -> None:
        """Something that people must know of this run: told at once, and in its table."""
        for warning in warnings:
            self.progress.note(f"Warning: {warning}")
            self.summary.warnings.append(warning)

    def verifier_lost(self, what: str) -> None:
        """A verifier actor was lost and is started again; told at once, and counted even if no step follows."""
        self.progress.note(what)
        self._failures["verifier/restarts"] += 1

    def verifier_failed(self, failures: Sequence[InfraError]) -> None:
        """Answers could not be judged: the first failure of a kind is told at once, all are counted."""
        for failure in self.summary.infra_errors.add(failures):
            self.progress.note(f"A verifier failed (infra_error; told once for each kind):\n{failure}")

    def _group_times(self) -> dict[str, float]:
        """Mean seconds a group took since the last step, by phase; NaN if none finished."""
        groups, self._groups = self._groups, []
        count = len(groups) or float("nan")
        return {
            "time/generate": sum(g.generate_seconds for g in groups) / count,
            "time/verify": sum(g.verify_seconds for g in groups) / count,
        }

    def _fleet_worked(self, fleet: FleetStats) -> None:
        for name, stats in zip(self._engines, fleet.engines, strict=True):
            self._timeline.extend("generate", name, stats.busy)
        self._verifiers += fleet.verifiers
        self._sampled_again += sum(stats.sampled_again for stats in fleet.engines)
        self._left_out += len(fleet.left_out)
        self.warned([f"left out: {why}" for why in fleet.left_out])

    def _count(self, counters: Mapping[str, int]) -> None:
        """The buffer's totals."""
        names = ("sampled", "trained", "reused", "unparseable", "infra_error", "truncated", "invalid_logprobs")
        self.summary.trajectories = TrajectoryCounts(
            **{name: counters[f"trajectories/{name}"] for name in names},
            zero_variance=counters["groups/zero_variance"] * self._group_size,
        )

    def _write(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        self._log.write(step, metrics)
        self._tracker.log(step, metrics)
        self.progress.step(step, metrics)

    def _tell(self) -> None:
        """Write what is known so far, for those who look while the run goes on, or find that it was killed."""
        began = time.time()
        self._bring_up_to_date()
        with suppress(OSError):  # a full disk, say: written again soon, and at the end, which tells of it
            self.summary.write(self.run, running=True)
        now = time.time()
        self._tell_from = now + max(_TELL_EVERY_S, _TELL_SHARE * (now - began))

    def _sum_up(self) -> None:
        self._failures["verifier/rejudged"] += self._verifiers.rejudged  # in the evaluation at the end, say
        self._failures["rollout/sampled_again"] += self._sampled_again
        self._failures["rollout/left_out"] += self._left_out
        counts = self.summary.trajectories
        self.warned([warning for watch in self._watches for warning in watch.total(self.summary.answers)])
        self.warned(self._truncation.total(counts.truncated, counts.sampled))
        self._bring_up_to_date()

    def _bring_up_to_date(self) -> None:
        summary, timeline = self.summary, self._timeline
        summary.wall_seconds = time.time() - self._started
        summary.phases = self.progress.phase_seconds
        counts = {**{n: int(c) for n, c in self._failures.items()}, "tracking": self._tracker.failures}
        summary.failures = counts | {"trajectories/infra_error": summary.infra_errors.answers}
        summary.verifiers = self._latencies.totals()
        if self._rl_started is None or self._step_started <= self._rl_started:
            return  # no step yet: there is nothing to measure
        since, until = self._rl_started, self._step_started
        summary.learn_seconds = timeline.busy("learn", since=since, until=until)
        summary.overlap = timeline.overlap("learn", "generate", since, until)
        summary.learner_idle = timeline.idle_share("learn", ["learner"], since, until)
        summary.engine_idle = timeline.idle_share("generate", self._engines, since, until)
        summary.tokens_per_second = self._tokens / (until - since)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.summary.finished()
        else:
            self.summary.failed(error)
            self.summary.resume = resume_command(self.run, "train")
        writes = [
            ("metrics.jsonl", self._tell_untold),
            ("metrics.jsonl", self._log.close),
            ("tracking", lambda: self._tracker.close(failed=error is not None)),
            ("summary.json", lambda: self.summary.write(self.run)),
            ("report.html", lambda: write_report(self.run.path)),
        ]
        self._sum_up()
        finish(self.run, self.progress, writes, self.summary.table, self.summary.resume)

    def _tell_untold(self) -> None:
        """The step that the learner did last, if the run ended before it was told."""
        if self._untold is not None:
            self.step(*self._untold, None, None)
            self._bring_up_to_date()
