"""Heads that vLLM's CPU backend has no kernel for are refused before the start."""

from __future__ import annotations

import pytest

from reprise.core.errors import UserError
from reprise.rollout.head_dims import ON_CPU, check_head_dim


@pytest.mark.engines  # that lane has imported vLLM, which takes many seconds
def test_the_widths_are_those_of_vllm_s_cpu_backend() -> None:
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    assert list(ON_CPU) == CPUAttentionBackend.get_supported_head_sizes()


def test_another_width_is_refused_with_those_that_are_there() -> None:
    check_head_dim(64)
    with pytest.raises(UserError, match=r"heads are 8 wide, and vLLM on CPU has kernels for \[32, 64, .*engine_gpus"):
        check_head_dim(8)
