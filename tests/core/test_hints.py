"""Names that were probably meant."""

import pytest

from reprise.core.hints import did_you_mean, nearest


def test_the_most_similar_name_is_meant_and_nothing_by_what_is_like_none() -> None:
    assert nearest("exct", ["code", "exact", "format"]) == "exact"
    assert nearest("zzz", ["code", "exact", "format"]) is None
    assert nearest("exct", []) is None


def test_a_higher_cutoff_wants_more_likeness() -> None:
    assert nearest("learning_rate", ["learner", "rate"], cutoff=0.5) is not None
    assert nearest("learning_rate", ["learner", "rate"], cutoff=0.8) is None


@pytest.mark.parametrize(
    ("around", "said"), [(" ({})", " (did you mean 'exact'?)"), ("; {}", "; did you mean 'exact'?")]
)
def test_the_question_stands_where_it_is_put_or_there_is_none(around: str, said: str) -> None:
    assert did_you_mean("exct", ["exact"], around) == said
    assert did_you_mean("zzz", ["exact"], around) == ""
