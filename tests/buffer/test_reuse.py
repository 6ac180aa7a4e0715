from __future__ import annotations

from small_groups import group, settings

from reprise.buffer.reuse import Reusable, ReusePolicy, ReusePool
from reprise.buffer.trajectory_buffer import TrajectoryBuffer

POLICY = ReusePolicy(max_uses=4, max_age=3, uses_per_take=1)


def member(group_id: str, variance: float = 0.25, uses: int = 1, first_taken: int = 0, lot: float = 0.5) -> Reusable:
    return Reusable(group(group_id), uses, variance, lot, first_taken, nbytes=10)


def order(*members: Reusable) -> list[str]:
    pool = ReusePool(POLICY)
    for each in members:
        pool.add(each)
    return [m.group.id for m in pool.take_best(len(members))]


def test_high_raw_variance_is_reused_first() -> None:
    assert order(member("low", variance=0.1), member("high", variance=0.25), member("mid", variance=0.2)) == [
        "high",
        "mid",
        "low",
    ]


def test_low_use_is_reused_first() -> None:
    assert order(member("twice", uses=2), member("once", uses=1)) == ["once", "twice"]


def test_variance_is_weighed_against_use() -> None:
    assert order(member("used", variance=0.25, uses=3), member("new", variance=0.1)) == ["new", "used"]
    assert order(member("used", variance=0.25, uses=2), member("new", variance=0.1)) == ["used", "new"]


def test_among_equals_the_younger_is_reused_first_and_then_the_lot_decides() -> None:
    assert order(member("old", first_taken=1), member("young", first_taken=2)) == ["young", "old"]
    assert order(member("a", lot=0.1), member("b", lot=0.9), member("c", lot=0.5)) == ["b", "c", "a"]


def test_the_lot_is_seeded_and_independent_of_arrival() -> None:
    def reused(seed: int) -> list[str]:
        made = TrajectoryBuffer(settings(batch_groups=40), seed)
        first, second = ([f"{n:02}" for n in range(start, start + 20)] for start in (0, 20))
        for group_id in first:
            made.add(group(group_id))
        made.take(0, first)
        for group_id in second:
            made.add(group(group_id, start=1))
        batch = made.take(1, second)
        return [g.id for g, again in zip(batch.groups, batch.reused) if again]

    assert reused(seed=1) == reused(seed=1) != reused(seed=2)
    assert reused(seed=1) != sorted(reused(seed=1))


def test_the_worst_is_evicted_first() -> None:
    pool = ReusePool(POLICY)
    for each in (member("low", variance=0.1), member("high")):
        pool.add(each)
    pool.evict_worst()
    assert "high" in pool
    assert "low" not in pool
    assert pool.nbytes == 10


def test_what_exceeds_max_age_is_evicted_and_the_rest_stays_in_order() -> None:
    pool = ReusePool(POLICY)
    for n in range(6):
        pool.add(member(f"v{n}", first_taken=n))
    assert pool.evict_aged(version=6) == 3
    assert [m.group.id for m in pool.members()] == ["v3", "v4", "v5"]
    assert pool.nbytes == 30


def test_taking_more_than_there_is_takes_all() -> None:
    pool = ReusePool(POLICY)
    pool.add(member("a"))
    assert [m.group.id for m in pool.take_best(5)] == ["a"]
    assert len(pool) == 0
    assert pool.nbytes == 0


def test_a_group_is_spent_when_one_more_batch_would_exceed_max_uses() -> None:
    policy = ReusePolicy(max_uses=5, max_age=1, uses_per_take=2)
    assert [policy.spent(uses) for uses in (2, 3, 4)] == [False, False, True]
