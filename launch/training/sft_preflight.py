"""What is checked before any process of a supervised run is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from reprise.data.sft.loading import digests_of, load_sources
from reprise.data.sft.reading import files_of, read
from reprise.data.sft.rendering import ConversationCodec
from reprise.data.sft.settings import EvalSource
from reprise.launch.curriculum import SftData, Stage
from reprise.launch.placement.fit import check_context, check_fit
from reprise.launch.placement.machine import check_temporary_folder
from reprise.launch.placement.memory import policy_size
from reprise.launch.placement.nodes import Node, Plan
from reprise.launch.placement.plan import plan
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.training.preflight import check_kernel, check_port, check_runs_dir, run_bytes
from reprise.launch.training.prompts import loading_tokenizer
from reprise.models.policy import check_policy, policy_config, read_config


def check(recipe: SftRecipe, nodes: Sequence[Node]) -> Plan:
    """All checks that need no policy folder: policy, layout, files, room. Raises `UserError`."""
    check_temporary_folder()
    check_policy(recipe.policy)
    config = policy_config(recipe.policy)
    check_fit(recipe, config)
    check_kernel(recipe.learner, recipe.cluster, recipe.policy.dtype, config)
    for source in _sources(recipe):
        files_of(source)
    size = None if recipe.policy.path is None or config is None else policy_size(recipe, config)
    placed = plan(recipe, nodes, size)
    rank_0 = placed.nodes[placed.of("learner")[0].node]
    if recipe.cluster.learner_port is not None and rank_0.host == nodes[0].host:
        check_port(recipe.cluster.learner_port)
    check_runs_dir(recipe.runs_dir, run_bytes(recipe.learner, recipe.checkpoints, size))
    return placed


def check_records(recipe: SftRecipe) -> None:
    """Refuse the first broken record of any file, and a generator whose first one is; no policy is needed to tell.

    Files are read twice, then: parsing takes a small part of the time that tokenising does.
    """
    for source in _sources(recipe):
        files = files_of(source)
        for _ in islice(read(source, files), None if files else 1):
            pass


def _sources(recipe: SftRecipe) -> list[EvalSource]:
    return [*recipe.eval.sources, *(source for stage in recipe.stages for source in stage.sources)]


def load(recipe: SftRecipe, policy_dir: Path, on_progress: Callable[[str, int, int], None] | None = None) -> SftData:
    """Every conversation of the recipe, through the policy's own chat template.

    Tokenised files are kept below `runs_dir` and used again while file, tokenizer and template are the same.
    Raises `UserError`, one line with file and line, for a broken record or one that is longer than its context.
    """
    cache = Path(recipe.runs_dir) / ".tokenised"
    config = read_config(policy_dir)
    with loading_tokenizer(policy_dir):
        rows = config.get_text_config().vocab_size
        codecs = {turns: ConversationCodec(policy_dir, turns, rows) for turns in ("all", "last")}
    held_out = (
        load_sources(
            recipe.eval.sources, codecs["all"], recipe.learner.token_budget, cache=cache, on_progress=on_progress
        )
        if recipe.eval.sources
        else []
    )
    for source in held_out:  # these may be as long as a row, which may be longer than the policy's positions reach
        check_context(recipe.policy, config, f"eval.sources: {source.name}", int(source.lengths.max(initial=0)))
    digests = digests_of(held_out)
    stages, notes = list[Stage](), list[str]()
    for stage in recipe.stages:
        sources = load_sources(
            stage.sources,
            codecs[stage.turns],
            stage.largest_context,
            overlong=stage.overlong,
            held_out=digests,
            cache=cache,
            on_progress=on_progress,
        )
        for source in sources:
            left_out = (
                f"stage {stage.name}, source {source.name}: {{}} of {len(source)} + {{}} conversations left out, "
            )
            if source.too_long:
                notes.append(
                    left_out.format(source.too_long, source.too_long)
                    + f"longer than the context of {stage.largest_context} tokens (overlong: drop)."
                )
            if source.held_out:
                notes.append(left_out.format(source.held_out, source.held_out) + "because they are held out.")
        made = Stage.of(stage, sources)
        made.stream(recipe.seed, len(stages))  # refuses a source that could not be drawn from
        stages.append(made)
    return SftData(stages, held_out, notes)
