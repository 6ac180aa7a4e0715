"""The RL recipe: every number of a run, composed of each package's own settings, and what must hold between them."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from reprise.buffer.reuse_notes import reuse_notes
from reprise.buffer.settings import BufferSettings
from reprise.core.errors import UserError
from reprise.core.transport import Places, transport_class
from reprise.data.settings import DataSettings
from reprise.launch.recipe.base import Contradiction, RunRecipe
from reprise.launch.recipe.before import BeforeSettings, differences
from reprise.launch.recipe.settings import ClusterSettings, EvalSettings, TrackingSettings
from reprise.learner.objective_notes import objective_notes
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.settings import LOSSES, LearnerSettings, SaveSettings
from reprise.models.policy import starts_random
from reprise.rewards.settings import RewardSettings
from reprise.rollout.settings import RolloutSettings


class Recipe(RunRecipe):
    """A whole RL run."""

    steps: int = Field(ge=1, description="RL batches; each publishes one policy version")
    data: DataSettings
    rewards: RewardSettings
    buffer: BufferSettings
    rollout: RolloutSettings = RolloutSettings()
    learner: LearnerSettings = LearnerSettings()
    before: BeforeSettings | None = Field(None, description="supervised stages before RL, in the same run; null: none")
    weights: PublishSettings = PublishSettings()
    checkpoints: SaveSettings = SaveSettings()
    eval: EvalSettings = EvalSettings()
    tracking: TrackingSettings = TrackingSettings()
    cluster: ClusterSettings = ClusterSettings()

    @property
    def engine_gpus(self) -> float:
        """GPUs of one engine, all its tensor-parallel ranks together."""
        return self.cluster.engine_gpus * self.rollout.engine.tensor_parallel

    @property
    def learner_settings(self) -> LearnerSettings:
        """The learner's, with what it leaves to other sections filled in."""
        learner = self.learner
        if learner.max_length is None and (learner.loss == "dr_grpo" or learner.loss not in LOSSES):
            return learner.model_copy(update={"max_length": self.rollout.max_response_tokens})
        return learner

    def contradictions(self) -> Iterator[Contradiction]:
        yield from _lengths(self)
        yield from _batches(self)
        yield from _devices(self)
        if self.before is not None:
            yield from differences(self.before.sft, self)

    def notes(self) -> list[str]:
        return _notes(self)


def _lengths(recipe: Recipe) -> Iterator[Contradiction]:
    rollout, engine = recipe.rollout, recipe.rollout.engine
    if rollout.max_response_tokens >= engine.max_model_len:
        yield Contradiction(
            ("rollout.max_response_tokens", "rollout.engine.max_model_len"),
            f"rollout.max_response_tokens {rollout.max_response_tokens} leaves no room for a prompt in "
            f"rollout.engine.max_model_len {engine.max_model_len}: prompt and response share it",
        )
    if recipe.weights.check_tokens >= engine.max_model_len:
        yield Contradiction(
            ("weights.check_tokens", "rollout.engine.max_model_len"),
            f"weights.check_tokens {recipe.weights.check_tokens} must be below rollout.engine.max_model_len "
            f"{engine.max_model_len}: the engine reads them as a prompt and needs room for one token more",
        )
    if recipe.learner.token_budget < engine.max_model_len:
        yield Contradiction(
            ("learner.token_budget", "rollout.engine.max_model_len"),
            f"learner.token_budget {recipe.learner.token_budget} is below rollout.engine.max_model_len "
            f"{engine.max_model_len}: the longest trajectory fits no micro-batch; raise the one or lower the other",
        )
    if engine.max_num_batched_tokens is not None and engine.max_num_batched_tokens < engine.max_num_seqs:
        yield Contradiction(
            ("rollout.engine.max_num_batched_tokens", "rollout.engine.max_num_seqs"),
            f"rollout.engine.max_num_batched_tokens {engine.max_num_batched_tokens} is below "
            f"rollout.engine.max_num_seqs {engine.max_num_seqs}: each sequence decodes one token an engine step",
        )


def _batches(recipe: Recipe) -> Iterator[Contradiction]:
    buffer, learner = recipe.buffer, recipe.learner
    if learner.minibatches > buffer.batch_groups:
        yield Contradiction(
            ("learner.minibatches", "buffer.batch_groups"),
            f"learner.minibatches {learner.minibatches} is above buffer.batch_groups {buffer.batch_groups}: "
            "a minibatch would be smaller than a group",
        )
    elif learner.data_parallel > (smallest := buffer.batch_groups // learner.minibatches * recipe.rollout.group_size):
        yield Contradiction(
            ("learner.world_size", "learner.minibatches", "buffer.batch_groups"),
            f"the data-parallel ranks ({learner.data_parallel} = learner.world_size {learner.world_size} / "
            f"learner.sequence_parallel {learner.sequence_parallel}) are more than the {smallest} trajectories of a "
            "minibatch "
            "(buffer.batch_groups // learner.minibatches x rollout.group_size): some ranks would have nothing to learn",
        )
    try:
        buffer.check_epochs(learner.epochs)
    except UserError as error:
        yield Contradiction(("buffer.reuse.max_uses", "learner.epochs", "buffer.fresh_fraction"), str(error))


def _devices(recipe: Recipe) -> Iterator[Contradiction]:
    """What the transport of weights needs of placement; it says so itself."""
    places = Places(
        learner_ranks=recipe.learner.world_size,
        learner_gpus=recipe.cluster.learner_gpus,
        engines=recipe.rollout.engines,
        ranks_per_engine=recipe.rollout.engine.tensor_parallel,
        engine_gpus=recipe.cluster.engine_gpus,
    )
    try:
        transport = transport_class(recipe.weights.transport_path)
    except UserError as error:
        yield Contradiction(("weights.transport",), str(error))
    else:
        yield from (Contradiction(*problem) for problem in transport.problems(places))


def _notes(recipe: Recipe) -> list[str]:
    learner, buffer, rollout = recipe.learner, recipe.buffer, recipe.rollout
    found = []
    if not learner.clipping_is_active:
        found.append(
            "Clipping is inactive: with learner.proximal recompute and a single optimiser step a batch the ratio is 1 "
            "by construction, so clip_low and clip_high do nothing (more minibatches or epochs, or "
            "proximal: behaviour, make them act)."
        )
    old_tokens = rollout.max_staleness > 0 or buffer.fresh_fraction < 1
    found += objective_notes(learner, buffer.normalize_std, old_tokens)
    found += reuse_notes(buffer, learner.epochs, rollout.max_staleness)
    open_groups = (rollout.max_staleness + 1) * buffer.fresh_per_batch
    if rollout.max_concurrent_groups > open_groups:
        found.append(
            f"rollout.max_concurrent_groups {rollout.max_concurrent_groups} is never reached: the staleness rule opens "
            f"at most (max_staleness {rollout.max_staleness} + 1) x {buffer.fresh_per_batch} fresh groups a batch = "
            f"{open_groups}."
        )
    if rollout.max_staleness == 0:
        found.append("rollout.max_staleness 0 is synchronous training: engines wait while the learner steps.")
    if learner.decay_steps is not None and learner.decay_steps < recipe.steps * learner.steps_per_batch:
        found.append(
            f"The learning rate is zero from optimiser step {learner.decay_steps} of "
            f"{recipe.steps * learner.steps_per_batch} on (learner.decay_steps)."
        )
    if recipe.data.held_out and recipe.eval.every > recipe.steps:
        found.append(f"eval.every {recipe.eval.every} is above steps {recipe.steps}: evaluated only before and after.")
    if recipe.before is None and starts_random(recipe.policy):
        found.append(
            "The policy is built, and nothing trains it before RL (`before`): from random weights RL finds little to "
            "reward."
        )
    if "max_response_tokens" not in rollout.model_fields_set:
        found.append(
            f"rollout.max_response_tokens is not set: responses are cut off at {rollout.max_response_tokens} tokens, "
            "which is for toy tasks."
        )
    if not recipe.checkpoints.every:
        found.append("checkpoints.every is 0: a run that is killed (SIGKILL) starts from the beginning.")
    for name, verifier in recipe.rewards.verifiers.items():
        if verifier.deadline_s > buffer.take_deadline_s:
            found.append(
                f"rewards.verifiers.{name}.deadline_s {verifier.deadline_s:g} is above buffer.take_deadline_s "
                f"{buffer.take_deadline_s:g}: a verifier that hangs ends the run before it is restarted."
            )
    if not recipe.data.held_out:
        found.append("data.held_out is empty: pass@1 is not measured.")
    return found
