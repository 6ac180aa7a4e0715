"""Causes picked out of logs."""

from __future__ import annotations

import pytest

from reprise.actors.root_cause import root_cause

# As vLLM 0.32, torch, glibc and Ray write them; paths and frames shortened.
PLAIN = """\
Traceback (most recent call last):
  File "learner.py", line 12, in forward
    return torch.nn.functional.embedding(ids, weight)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
IndexError: index out of range in self
"""
CORE = """\
(EngineCore pid=7) INFO 11-29 22:00:49 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='x'
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150] EngineCore failed to start.
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150]   File "vllm/v1/engine/core.py", line 1124, in run_engine_core
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150]     engine_core = EngineCoreProc(*args, **kwargs)
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150]                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150] RuntimeError: Insufficient space in /dev/shm for shared-memory \
allocation: 160 MiB required, 64 MiB free. Increase /dev/shm (e.g. --shm-size or --ipc=host).
(EngineCore pid=7) Process EngineCore:
(EngineCore pid=7) Traceback (most recent call last):
(EngineCore pid=7)   File "multiprocessing/process.py", line 314, in _bootstrap
(EngineCore pid=7)     self.run()
(EngineCore pid=7) RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, 64 MiB \
free. Increase /dev/shm (e.g. --shm-size or --ipc=host).
Traceback (most recent call last):
  File "actors/rollout.py", line 32, in start
    self._engine = VllmEngine(settings, policy_dir, dtype=dtype)
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}
"""
DEAD = """\
(MainProcess pid=317) ERROR 11-30 00:44:42 [async_llm.py:906] AsyncLLM output_handler failed.
(MainProcess pid=317) ERROR 11-30 00:44:42 [async_llm.py:906] Traceback (most recent call last):
(MainProcess pid=317) ERROR 11-30 00:44:42 [async_llm.py:906]   File "vllm/v1/engine/core_client.py", line 1235
(MainProcess pid=317) ERROR 11-30 00:44:42 [async_llm.py:906]     raise self._format_exception(outputs) from None
(MainProcess pid=317) ERROR 11-30 00:44:42 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: EngineCore \
encountered an issue. See stack trace (above) for the root cause.
"""
CUDA = """\
[rank1]: loading
Traceback (most recent call last):
  File "learner.py", line 1, in step
    loss.backward()
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.1 GiB of \
which 3.2 GiB is free.
"""
CHAIN = """\
Traceback (most recent call last):
  File "a.py", line 1, in f
KeyError: 'rope'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in g
ValueError: rope_scaling lacks
  a type; it takes 'linear'
  or 'dynamic'
"""
OTHER_RANK = """\
Traceback (most recent call last):
  File "a.py", line 1, in f
RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:1234
"""
SEGFAULT = """\
*** SIGSEGV received at time=1796007043 on cpu 0 ***
PC: @     0x7fd531aa3f16  (unknown)  (unknown)
[2026-11-30 02:50:43,945 E 9769 9769] logging.cc:474: *** SIGSEGV received at time=1796007043 on cpu 0 ***
Fatal Python error: Segmentation fault
"""
BAD_ALLOC = """\
terminate called after throwing an instance of 'std::bad_alloc'
  what():  std::bad_alloc
"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (PLAIN, "IndexError: index out of range in self"),
        (CORE, "RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, 64 MiB"),
        (PLAIN + DEAD, "IndexError: index out of range in self"),
        (CUDA, "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity"),
        (CHAIN, "ValueError: rope_scaling lacks a type; it takes 'linear' or 'dynamic'"),
        (PLAIN + OTHER_RANK, "IndexError: index out of range in self"),
        (f"\x1b[31m{PLAIN}\x1b[0m", "IndexError: index out of range in self"),
        (SEGFAULT, "Fatal Python error: Segmentation fault"),
        (BAD_ALLOC, "std::bad_alloc: std::bad_alloc"),
    ],
)
def test_the_cause_is_what_the_library_said(log: str, cause: str) -> None:
    found = root_cause(log)
    assert found is not None
    assert found.startswith(cause)


@pytest.mark.parametrize("log", ["", "all is well\n", DEAD, OTHER_RANK, "Traceback (most recent call last):\n"])
def test_what_follows_from_another_failure_is_no_cause(log: str) -> None:
    assert root_cause(log) is None


def test_what_was_survived_long_ago_is_no_cause() -> None:
    assert root_cause(PLAIN + "step done\n" * 500) is None
    assert root_cause("step done\n" * 500 + PLAIN) is not None


def test_a_request_to_end_is_no_crash() -> None:
    assert root_cause("*** SIGTERM received at time=1796007043 on cpu 0 ***\n") is None
