"""The conversations of an SFT recipe, loaded once there is a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reprise.data.sft.loading import digests_of, load_sources
from reprise.data.sft.rendering import ConversationCodec
from reprise.launch.curriculum import SftData, Stage
from reprise.launch.placement.fit import check_context
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.training.prompts import loading_tokenizer
from reprise.models.policy import read_config


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
