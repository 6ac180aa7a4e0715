"""Noise of one's own: each request's seed is its run's and its group's."""

from __future__ import annotations

from reprise.rollout.seeds import request_seed

GROUPS = [f"task-{t}#{n}" for t in range(100) for n in range(100)]


def test_a_seed_is_that_of_run_and_group_alone() -> None:
    assert request_seed(0, "a#1") == request_seed(0, "a#1") == 4032429747635318378


def test_no_two_responses_of_a_run_share_a_seed() -> None:
    """vLLM adds the number of the response to the seed of its group."""
    seeds = {request_seed(0, group) + response for group in GROUPS for response in range(16)}
    assert len(seeds) == 16 * len(GROUPS)
    assert max(seeds) < 2**63


def test_runs_with_other_seeds_have_other_noise() -> None:
    assert not {request_seed(0, group) for group in GROUPS} & {request_seed(1, group) for group in GROUPS}
