"""What a recipe's objective is other than the paper of its loss has it, or leaves unbounded: allowed, worth knowing."""

from __future__ import annotations

from reprise.learner.settings import LearnerSettings, usual_clips

_SEQUENCE_CLIP = 0.01  # clips of whole sequences are far below this, those of tokens far above it


def objective_notes(settings: LearnerSettings, normalize_std: bool, old_tokens: bool) -> list[str]:
    """One sentence or two each. `old_tokens`: trajectories may be of earlier versions (staleness, reuse)."""
    loss, found = settings.loss, []
    low, high = settings.ratio_bounds
    paper = "clip_low {:g} and clip_high {:g}".format(*usual_clips(loss))
    if settings.clipping_is_active:
        if loss == "gspo" and max(1 - low, high - 1) > _SEQUENCE_CLIP:
            found.append(
                f"learner.loss gspo hardly ever clips at {low:g} and {high:g}: the ratio of a whole sequence stays "
                f"near 1. Its paper has {paper}; null takes them."
            )
        if loss in ("grpo", "dr_grpo") and min(1 - low, high - 1) < _SEQUENCE_CLIP:
            found.append(
                f"learner.loss {loss} clips the ratio of each token at {low:g} and {high:g}, which are bounds for the "
                f"ratio of a whole sequence (gspo): most gradients will be cut. {paper} are usual; null takes them."
            )
        if loss == "cispo" and low > 0:
            found.append(
                f"learner.loss cispo bounds the ratio below at {low:g}, its paper does not: learner.clip_low null."
            )
    if loss == "dr_grpo" and normalize_std:
        found.append(
            "learner.loss dr_grpo with buffer.normalize_std true is not Dr. GRPO: it leaves the standard deviation out "
            "of the advantages (normalize_std: false)."
        )
    if settings.proximal == "behaviour" and old_tokens and loss != "cispo" and settings.dual_clip is None:
        found.append(
            "With learner.proximal behaviour nothing bounds the ratio of a token whose advantage is negative, and here "
            "tokens may be of earlier versions: one of them may outweigh a batch. learner.dual_clip bounds it (3 is "
            "usual)."
        )
    return found
