"""The warm start's traces on their way to tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprise.core.errors import UserError
from reprise.data.demo import traces
from reprise.launch.training import warm_start
from reprise.learner.settings import WarmStartSettings
from reprise.models.motif2.tokenizer import small_tokenizer
from reprise.rollout.chat import ChatCodec


def test_a_trace_that_cannot_be_imitated_is_named_with_its_generator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_tokenizer().save_pretrained(tmp_path)
    monkeypatch.setattr(traces, "write", lambda *_: "<ans>3</ans>")
    arguments = {"domains": {"addition": {"digits": [1, 1]}}, "styles": {"clean": 1}, "error_rate": 0}
    settings = WarmStartSettings(
        traces="reprise.data.demo.traces:traces", args=arguments, steps=100, batch_size=1, lr=1e-3
    )
    with pytest.raises(
        UserError,
        match=r"warm_start\.traces: reprise\.data\.demo\.traces:traces, task 'addition/\S+': "
        r".* never closes the reasoning",
    ):
        next(warm_start._tokenised(settings, 0, ChatCodec(tmp_path)))
