"""Groups start no earlier than the learner needs them."""

from __future__ import annotations

from reprise.rollout.lead import Lead


def test_a_learner_that_never_waits_gets_groups_later_and_later_but_always_a_batch() -> None:
    lead = Lead(least=8, most=40)
    seen = []
    for _ in range(60):
        lead.taken(waited=False, left=lead.groups - 8)
        seen.append(lead.groups)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 38
    assert seen[-1] == 8


def test_where_nothing_is_left_over_the_lead_stays() -> None:
    lead = Lead(least=8, most=40)
    lead.taken(waited=False, left=0)
    assert lead.groups == 40


def test_once_the_learner_waits_the_lead_is_all_that_staleness_allows() -> None:
    lead = Lead(least=8, most=40)
    for _ in range(9):
        lead.taken(waited=False, left=16)
    lead.taken(waited=True, left=16)
    assert lead.groups == 40
