"""What an RL run records: every step's metrics, evaluations, failures, and who was busy when."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import SupportsFloat, TypedDict, cast

from reprise.actors.fleet import FleetStats
from reprise.actors.learner import Trained
from reprise.actors.sampler import Finished, TakenBatch
from reprise.data.tasks import TaskSets
from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.evaluated import Evaluated
from reprise.launch.reporting.metrics import RL_NAMES
from reprise.launch.reporting.opening import Opening
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.run_recorder import RunRecorder
from reprise.launch.reporting.statistics import Evaluation
from reprise.launch.reporting.summary import Summary, TrajectoryCounts
from reprise.launch.reporting.timeline import Timeline
from reprise.launch.reporting.truncation import TruncationWatch
from reprise.launch.reporting.verifiers import Latencies, infra_error_watch, unparseable_watch
from reprise.learner.checkpoints.client_state import State
from reprise.learner.checkpoints.folder import read_metadata, step_of
from reprise.learner.publishing.report import PublishReport
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.verifier_pool import PoolCounts

# Counts since the last step that are failures without being the run's end.
_FAILURES = ("optim/skipped", "verifier/rejudged", "rollout/sampled_again", "rollout/left_out")
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
    """Those that a run will have, in order; a resumed one starts where the first had been warmed up and evaluated."""
    once = [
        name
        for name, wanted in (("warm start", recipe.before), ("before-eval", recipe.data.held_out))
        if wanted and not resumed
    ]
    return ["set-up", *once, "RL", *(["after-eval"] if recipe.data.held_out else []), "export"]


class RecorderState(TypedDict):
    """What a resumed run reports as its own, JSON-able."""

    before: dict[str, object] | None


class Recorder(RunRecorder[Summary]):
    """The recorder of an RL run."""

    def __init__(self, recipe: Recipe, run: RunFolder, resumed: bool = False, opening: Opening | None = None) -> None:
        super().__init__(
            recipe,
            run,
            Summary(run.name),
            command="train",
            names=RL_NAMES,
            phases=phases(recipe, resumed and not run.stopped_before_rl),
            resumed=resumed,
            opening=opening,
            final=recipe.steps,
        )
        if self.checkpoint is not None:
            run.drop_samples("after")
        self._timeline = Timeline()
        self._engines = [f"engine {i}" for i in range(recipe.rollout.engines)]
        self._group_size = recipe.rollout.group_size
        self._groups: list[Finished] = []  # since the last step
        self._unrecorded: tuple[int, TakenBatch, Trained] | None = None  # given to `trained`, and not yet to `step`
        self._latencies = Latencies()
        self._verifiers = PoolCounts()  # since the last step
        self._sampled_again = self._left_out = 0  # since the last step
        self._watches = (
            infra_error_watch(recipe.rewards.infra_error_warning),
            unparseable_watch(recipe.rewards.unparseable_warning),
        )
        self._truncation = TruncationWatch(recipe)
        self._failures = dict.fromkeys((*_FAILURES, "verifier/restarts"), 0.0)
        if self.checkpoint is not None:  # before set-up, which may fail
            state: RecorderState = cast(State, read_metadata(self.checkpoint)["client_state"])["driver"]["recorder"]
            self._resume(state, step_of(self.checkpoint))

    def evaluated(self, step: int, evaluation: Evaluated, fleet: FleetStats, when: str = "") -> None:
        """A held-out evaluation, with the fleet's work in it: `when` is "before", "after", or empty during the run."""
        self._fleet_worked(fleet)
        self.evaluated_at = step
        if evaluation.curve is not None:
            self._write(step, evaluation.curve.metrics())
        for domain, (lost, asked) in evaluation.unverified.items():
            result = evaluation.results.domains.get(domain)
            over = f"{result.tasks} of its {result.asked} tasks" if result else "no task at all"
            said = f"{lost} of {asked} held-out responses could not be verified (infra_error)"
            self.warned([f"{when or f'step {step}'}: {domain}: {said}: its score is over {over}"])
        if when:
            self.run.add_samples(evaluation.samples)
        if when == "before":
            self.summary.before = evaluation.results
        if when == "after":
            self.summary.after = evaluation.results
        self._step_started = time.time()
        self._save_summary()

    def state(self) -> RecorderState:
        """For the recorder of a run that continues from the checkpoint that holds it."""
        before = self.summary.before
        return {"before": before.to_json() if before else None}

    def _resume(self, state: RecorderState, step: int) -> None:
        """The run continues from the checkpoint of `step`."""
        self.summary.before = Evaluation.from_json(state["before"]) if state["before"] else None
        self.summary.steps = step
        self.warned([f"resumed from the checkpoint of step {step}: counts and times below are of what came after it"])

    def tasks(self, tasks: TaskSets, found: Sequence[str] = ()) -> None:
        """The tasks of the run, as they were read, and what was found in trying their verifiers."""
        self.summary.tasks = {
            "train": sum(map(len, tasks.train)), "held_out": len(tasks.held_out), "excluded": tasks.excluded
        }  # fmt: skip
        for note in [*tasks.notes, *found]:
            self.progress.note(note)

    def trained(self, step: int, batch: TakenBatch, trained: Trained) -> None:
        """The learner has done `step`, and a checkpoint may hold it: recorded even if the run ends before that."""
        self._unrecorded = (step, batch, trained)

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
        self._unrecorded = None
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
        self._save_summary(now=False)

    def finished(self, group: Finished) -> None:
        """A group was stored or rejected."""
        self._groups.append(group)
        self._latencies.add(group.verifier, group.verify_seconds, group.queue_seconds)
        self.summary.answers = group.added.answers
        self._count(group.added.counters)

    def verifier_lost(self, what: str) -> None:
        """A verifier actor was lost and is restarted; shown at once, and counted even if no step follows."""
        self.progress.note(what)
        self._failures["verifier/restarts"] += 1

    def verifier_failed(self, failures: Sequence[InfraError]) -> None:
        """Answers could not be verified: the first failure of a kind is shown at once, all are counted."""
        for failure in self.summary.infra_errors.add(failures):
            self.progress.note(f"A verifier failed (infra_error; shown once for each kind):\n{failure}")

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
        super()._write(step, metrics)
        self.progress.step(step, metrics)

    def _update(self) -> None:
        super()._update()
        self.summary.failures |= {"trajectories/infra_error": self.summary.infra_errors.answers}
        self.summary.verifiers = self._latencies.totals()

    def _measure(self, since: float, until: float) -> None:
        super()._measure(since, until)
        summary, timeline = self.summary, self._timeline
        summary.learn_seconds = timeline.busy("learn", since=since, until=until)
        summary.overlap = timeline.overlap("learn", "generate", since, until)
        summary.learner_idle = timeline.idle_share("learn", ["learner"], since, until)
        summary.engine_idle = timeline.idle_share("generate", self._engines, since, until)

    def _end(self) -> None:
        try:
            if self._unrecorded is not None:  # the step that the learner did last
                self.step(*self._unrecorded, None, None)
        finally:
            self._failures["verifier/rejudged"] += self._verifiers.rejudged  # in the evaluation at the end, say
            self._failures["rollout/sampled_again"] += self._sampled_again
            self._failures["rollout/left_out"] += self._left_out
            counts = self.summary.trajectories
            self.warned([warning for watch in self._watches for warning in watch.total(self.summary.answers)])
            fates = {"truncated": counts.truncated, "whole": counts.sampled - counts.truncated}
            self.warned(self._truncation.total({"": fates}))
            super()._end()
