from __future__ import annotations

from typing import Any

import pytest
from small_groups import INFRA_ERROR, UNPARSEABLE, group, settings

from reprise.buffer.advantages import Reason
from reprise.buffer.trajectory_buffer import Batch, TrajectoryBuffer
from reprise.core.errors import Starvation, UserError
from reprise.core.types import Verdict


def buffer(epochs: int = 1, **changes: Any) -> TrajectoryBuffer:
    return TrajectoryBuffer(settings(**changes), seed=0, uses_per_take=epochs)


def fill(made: TrajectoryBuffer, *ids: str, start: int = 0) -> None:
    for group_id in ids:
        assert made.add(group(group_id, start=start)) is None


def ids(batch: Batch, reused: bool) -> list[str]:
    return [g.id for g, again in zip(batch.groups, batch.reused) if again == reused]


def test_fresh_groups_wait_until_they_are_asked_for_by_name() -> None:
    made = buffer()
    fill(made, "a", "b", "c")
    assert made.ready() == 3
    assert ids(made.take(0, ["c", "a"]), reused=False) == ["a", "c"]
    assert made.ready() == 1
    assert ids(made.take(1, ["b"]), reused=False) == ["b"]
    assert made.ready() == 0


def test_only_fresh_groups_that_are_there_can_be_asked_for() -> None:
    made = buffer()
    fill(made, "a", "b")
    made.take(0, ["a", "b"])
    fill(made, "c")
    with pytest.raises(ValueError, match=r"does not hold as fresh cannot be taken: \['a', 'd'\]"):
        made.take(1, ["a", "d"])
    assert made.take(1, ["c"]).metrics["buffer/fresh"] == 0, "a refused request changes nothing"


def test_a_batch_of_the_same_groups_is_the_same_whoever_arrived_first() -> None:
    batches = []
    for first, second in (("abc", "def"), ("cab", "fed")):
        made = buffer(batch_groups=5, fresh_fraction=0.6)
        fill(made, *first)
        made.take(0, first)
        fill(made, *second, start=1)
        batches.append([g.id for g in made.take(1, second).groups])
    assert batches[0] == batches[1]
    assert len(batches[0]) == 5


def test_groups_in_a_batch_carry_advantages() -> None:
    made = buffer()
    fill(made, "a", "b")
    assert all(g.advantages is not None and g.weighted is not None for g in made.take(0, "ab").groups)


def test_a_group_without_variance_is_counted_and_not_stored() -> None:
    made = buffer()
    assert made.add(group("a", (1.0, 1.0))) == Reason.ZERO_VARIANCE
    assert made.ready() == 0
    assert made.counters()["groups/zero_variance"] == 1


def test_a_group_with_too_few_scored_members_is_counted_and_not_stored() -> None:
    made = buffer()
    assert made.add(group("a", (1.0, UNPARSEABLE, INFRA_ERROR))) == Reason.TOO_FEW_SCORED
    assert made.ready() == 0
    counts = made.counters()
    assert (counts["groups/too_few_scored"], counts["trajectories/unparseable"]) == (1, 1)
    assert (counts["trajectories/infra_error"], counts["trajectories/sampled"]) == (1, 3)


def test_truncation_is_counted_whatever_the_verdict() -> None:
    made = buffer()
    made.add(group("a", (1.0, UNPARSEABLE, 0.0), truncated=[0, 1]))
    assert made.counters()["trajectories/truncated"] == 2


def test_reused_groups_fill_the_batch_and_are_marked_with_their_ages() -> None:
    made = buffer()
    fill(made, "a", "b")
    assert made.take(0, "ab").reused == (False, False)
    fill(made, "c", "d", start=1)
    batch = made.take(2, "cd")
    assert batch.reused == (False, False, True, True)
    assert batch.ages == (1, 1, 2, 2)
    assert set(ids(batch, reused=True)) == {"a", "b"}
    assert batch.metrics["reuse/fraction"] == 0.5
    assert batch.metrics["reuse/staleness_mean"] == 1.5
    assert batch.metrics["fresh/staleness_max"] == 1


def test_age_counts_from_the_lowest_token_version() -> None:
    made = buffer(batch_groups=1, fresh_fraction=1.0)
    made.add(group("a", start=1, versions=(3, 2, 4)))
    assert made.take(5, "a").ages == (3,)


def test_a_group_is_evicted_after_max_uses() -> None:
    made = buffer(max_uses=2, batch_groups=2)
    fill(made, "a", "b", "c")
    reused = [ids(made.take(version, fresh), reused=True) for version, fresh in enumerate("abc")]
    assert reused == [[], ["a"], ["b"]]
    assert made.counters()["evicted/max_uses"] == 2


def test_every_epoch_over_a_batch_is_a_use() -> None:
    made = buffer(epochs=2, max_uses=4, batch_groups=2)
    fill(made, "a", "b", "c")
    made.take(0, "a")
    assert ids(made.take(1, "b"), reused=True) == ["a"]
    assert made.counters()["evicted/max_uses"] == 1
    assert ids(made.take(2, "c"), reused=True) == ["b"]


def test_epochs_beyond_max_uses_are_refused() -> None:
    with pytest.raises(UserError, match=r"max_uses to at least 3"):
        buffer(epochs=3, max_uses=2, fresh_fraction=1.0)


def test_a_group_is_not_reused_more_than_max_age_versions_after_its_first_batch() -> None:
    made = buffer(max_age=2, max_uses=9)
    fill(made, "a", "b")
    made.take(0, "ab")
    fill(made, "c", "d", start=2)
    assert set(ids(made.take(2, "cd"), reused=True)) == {"a", "b"}
    fill(made, "e", "f", start=3)
    assert set(ids(made.take(3, "ef"), reused=True)) == {"c", "d"}
    assert made.counters()["evicted/max_age"] == 2


def test_a_group_that_took_long_is_reused_like_the_others_of_its_first_batch() -> None:
    """Counted from the oldest token it would be too old already, and always come last."""
    made = buffer(max_age=1, max_uses=9, batch_groups=2)
    made.add(group("long", start=0, versions=(0, 1, 2, 3)))
    fill(made, "short", start=3)
    assert ids(made.take(3, ["long"]), reused=False) == ["long"]
    assert ids(made.take(4, ["short"]), reused=True) == ["long"]


def test_memory_is_bounded_by_evicting_reusable_groups_never_fresh_ones() -> None:
    made = buffer(max_groups=4)
    fill(made, "a", "b")
    made.take(0, "ab")
    fill(made, *"uvwxyz", start=1)
    assert made.ready() == 6
    assert made.counters()["evicted/memory"] == 2
    assert ids(made.take(1, "uv"), reused=True) == []


def test_memory_is_bounded_in_bytes() -> None:
    one = group("x").nbytes
    made = buffer(max_bytes_mb=3 * one / 1e6)
    fill(made, "a", "b")
    made.take(0, "ab")
    fill(made, "c", start=1)
    assert made.counters()["evicted/memory"] == 0
    fill(made, "d", start=1)
    assert made.counters()["evicted/memory"] == 1
    assert made.take(1, "cd").metrics["buffer/bytes"] <= 3 * one


def test_without_reuse_nothing_is_kept() -> None:
    made = buffer(fresh_fraction=1.0, batch_groups=2, max_uses=5)
    fill(made, "a", "b")
    assert made.take(0, "ab").metrics["buffer/reusable"] == 0


def test_a_smaller_batch_keeps_the_fresh_fraction() -> None:
    made = buffer(batch_groups=6, max_uses=9)
    fill(made, "a", "b", "c")
    made.take(0, "abc")
    fill(made, "d", start=1)
    batch = made.take(1, "d")
    assert batch.reused == (False, True)


def test_metrics_count_what_came_since_the_batch_before() -> None:
    made = buffer()
    made.add(group("dull", (1.0, 1.0)))
    fill(made, "a", "b")
    first = made.take(0, "ab").metrics
    assert (first["groups/zero_variance"], first["trajectories/sampled"], first["trajectories/trained"]) == (1, 6, 4)
    fill(made, "c", "d", start=1)
    second = made.take(1, "cd").metrics
    assert (second["groups/zero_variance"], second["trajectories/sampled"]) == (0, 4)
    assert (second["trajectories/trained"], second["trajectories/reused"]) == (8, 4)
    assert made.counters()["trajectories/trained"] == 12


def test_only_trajectories_in_the_loss_count_as_trained() -> None:
    made = buffer(batch_groups=1)
    made.add(group("a", (0.0, 1.0, UNPARSEABLE)))
    assert made.take(0, "a").metrics["trajectories/trained"] == 2


def test_versions_must_rise_from_take_to_take() -> None:
    made = buffer(batch_groups=1)
    fill(made, "a", "b")
    made.take(3, "a")
    with pytest.raises(ValueError, match="taken at version 3 already: 3 is not a later one"):
        made.take(3, "b")


def test_a_token_from_the_future_is_an_error() -> None:
    made = buffer(batch_groups=1)
    fill(made, "a", start=2)
    with pytest.raises(ValueError, match="version 1 has tokens of version 2"):
        made.take(1, "a")


def test_the_same_group_cannot_be_added_twice() -> None:
    made = buffer()
    fill(made, "a", "b")
    with pytest.raises(ValueError, match="'a' was added twice"):
        made.add(group("a"))
    made.take(0, "ab")
    with pytest.raises(ValueError, match="'b' was added twice"):
        made.add(group("b"))


@pytest.mark.parametrize("fresh", ["", "abc", "aa"])
def test_a_batch_cannot_be_asked_for_an_impossible_number_of_fresh_groups(fresh: str) -> None:
    made = buffer()
    fill(made, *"abc")
    with pytest.raises(ValueError, match="1 to 2 different fresh groups, not "):
        made.take(0, fresh)
    assert made.ready() == 3


def test_restore_wants_a_new_buffer() -> None:
    made = buffer()
    fill(made, "a")
    with pytest.raises(ValueError, match="restore into a new buffer"):
        made.restore(made.state())


def test_a_restored_buffer_evicts_what_its_settings_no_longer_allow() -> None:
    made = buffer(max_uses=4)
    fill(made, "a", "b")
    made.take(0, "ab")
    smaller = buffer(max_uses=4, fresh_fraction=1.0)
    smaller.restore(made.state())
    assert smaller.state()["reusable"] == []
    assert smaller.counters()["evicted/max_uses"] == 2


def test_starvation_ends_the_run_with_counts_by_reason_and_advice() -> None:
    made = buffer(starvation_groups=3)
    made.add(group("a", (0.0, 0.0)))
    made.add(group("b", (0.0, UNPARSEABLE), truncated=[1]))
    with pytest.raises(Starvation) as caught:
        made.add(group("c", (0.0, 0.0)))
    message = str(caught.value)
    assert "3 groups in a row taught nothing: 2 zero_variance" in message
    assert "1 too_few_scored" in message
    assert "Of their 6 trajectories 5 were scored with mean score 0, 1 unparseable, 0 infra_error" in message
    assert "1 were truncated" in message
    assert "easier ones if the mean score is low" in message


UNREAD_ZERO = Verdict.scored(0.0, "no_answer", unparseable=True)  # as rewards.unparseable: score_zero makes it


@pytest.mark.parametrize(
    ("verdicts", "truncated", "advice"),
    [
        ((UNPARSEABLE, UNPARSEABLE), [0, 1], "rollout.max_response_tokens"),
        ((INFRA_ERROR, INFRA_ERROR), [], r"rewards\.verifiers\.\*\.deadline_s"),
        ((UNPARSEABLE, UNPARSEABLE), [], "supervised training before RL"),
        ((UNREAD_ZERO, UNREAD_ZERO), [], "0 were scored, 2 unparseable.*in the answer format that the verifiers read"),
    ],
)
def test_the_advice_follows_the_cause(verdicts: tuple[Any, Any], truncated: list[int], advice: str) -> None:
    with pytest.raises(Starvation, match=advice):
        buffer(starvation_groups=1).add(group("a", verdicts, truncated=truncated))


RAISED = Verdict.infra_error("infra", "verifier 'mine' raised KeyError: 'x' (bad_reward.py:7)")


def test_what_the_verifiers_failed_with_comes_before_every_other_advice() -> None:
    with pytest.raises(Starvation) as caught:
        buffer(starvation_groups=1).add(group("a", (RAISED, INFRA_ERROR, RAISED), truncated=[0, 1, 2]))
    message = str(caught.value)
    assert "failed on 3 of them, 2 of them so: verifier 'mine' raised KeyError: 'x' (bad_reward.py:7)." in message
    assert "max_response_tokens" not in message


def test_a_few_answers_that_could_not_be_verified_are_named_beside_the_other_advice() -> None:
    with pytest.raises(Starvation) as caught:
        buffer(starvation_groups=1).add(group("a", (0.0, 0.0, 0.0, RAISED)))
    assert "raised KeyError" in str(caught.value)
    assert "easier ones if the mean score is low" in str(caught.value)


def test_a_verifier_whose_every_failure_is_new_is_named_within_bounds() -> None:
    made = buffer(starvation_groups=3)
    verdicts = [Verdict.infra_error("infra", f"no {'x' * n}") for n in range(1, 200)]
    for name in "ab":
        made.add(group(name, verdicts))
    assert len(made.state()["streak"]["causes"]) == 50
    twin = buffer(starvation_groups=3)
    twin.restore(made.state())
    with pytest.raises(Starvation, match=r"failed on 597 of them, 3 of them so: no x\."):
        twin.add(group("c", verdicts))


def test_an_admitted_group_ends_a_streak_of_rejections() -> None:
    made = buffer(starvation_groups=2)
    for n in range(5):
        made.add(group(f"dull{n}", (1.0, 1.0)))
        fill(made, f"good{n}")
    assert made.counters()["groups/zero_variance"] == 5


def test_a_streak_goes_on_after_a_restore() -> None:
    made = buffer(starvation_groups=2)
    made.add(group("a", (1.0, 1.0)))
    twin = buffer(starvation_groups=2)
    twin.restore(made.state())
    with pytest.raises(Starvation, match="2 groups in a row"):
        twin.add(group("b", (1.0, 1.0)))
