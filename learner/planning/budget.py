"""A rank's memory, part by part and phase by phase, and the longest row that fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from reprise.learner.optim import deepspeed_config
from reprise.learner.planning.job import ModelShape, PlanInput
from reprise.learner.planning.measure import Measured
from reprise.learner.planning.parts import GIB, PHASES, Buckets, Part, Phase, count_of, static_parts

ACTIVATIONS, WORK = "activations kept", "work of the moment"


@dataclass(frozen=True)
class Budget:
    """All parts of a rank's memory for a job."""

    job: PlanInput
    parts: tuple[Part, ...]

    def held(self, phase: Phase, kind: str | None = None) -> int:
        """Bytes of the device in a phase, of one kind or of all."""
        return sum(p.size for p in self.parts if not p.host and phase in p.phases and kind in (None, p.kind))

    @property
    def kinds(self) -> list[str]:
        """The rows of the table, in order."""
        return list(dict.fromkeys(p.kind for p in self.parts))

    @cached_property
    def peak_phase(self) -> Phase:
        return max(PHASES, key=self.held)

    @property
    def total(self) -> int:
        """Most bytes of the device at any time."""
        return self.held(self.peak_phase)

    @property
    def host(self) -> int:
        """Bytes in host memory of a rank on a GPU."""
        return sum(p.size for p in self.parts if p.host)


def budget(measured: Measured, job: PlanInput) -> Budget:
    """The parts of a rank's memory; `measured` is of the same model, dtype and kernel."""
    states = without_activations(job, measured.shape)
    return Budget(job, (*states.parts, *_activations(measured, job), *_moments(measured, job)))


def without_activations(job: PlanInput, shape: ModelShape) -> Budget:
    """The parts that do not depend on the tokens of a row: known at once, for every model."""
    buckets = Buckets.of(deepspeed_config(job.engine, job.dtype, shape.parameters, shape.hidden))
    return Budget(job, tuple(static_parts(job, shape, buckets)))


def _activations(measured: Measured, job: PlanInput) -> Iterator[Part]:
    """What the layers keep for the backward pass."""
    policy, tokens, layers = job.engine.checkpointing, job.local_tokens, measured.shape.layers
    kept = measured.stack(policy, tokens, job.engine.sequence_parallel).kept
    each = kept / layers
    how = f"{layers} layers x {each / GIB:.4f} GiB at {tokens:,} tokens (measured; policy {policy.policy})"
    if not policy.offload or not job.on_gpu:
        twice = 2 if policy.offload else 1  # on CPU the copies for the host are copies all the same
        yield Part(ACTIVATIONS, twice * kept, how, ("forward", "head", "layers"))
        return
    yield Part(ACTIVATIONS, kept, how, host=True)
    here = round(each)
    yield Part(ACTIVATIONS, here, f"{here / GIB:.4f} GiB: a layer's, on its way", ("forward", "head", "layers"))


def _moments(measured: Measured, job: PlanInput) -> Iterator[Part]:
    """What is held for a moment, at the peak of each phase."""
    shape, tokens = measured.shape, job.local_tokens
    stack = measured.stack(job.engine.checkpointing, tokens, job.engine.sequence_parallel)
    yield Part(WORK, stack.forward - stack.kept, "a layer's forward pass (measured)", ("forward",))
    head = measured.head(tokens)
    gradient = shape.output * job.width
    yield Part("logits and loss", head.peak - gradient, "pieces of logits and float32 gradients (measured)", ("head",))
    yield Part(
        "logits and loss", gradient, f"{count_of(shape.output)} x {job.width} bytes: lm_head's new gradient", ("head",)
    )
    yield Part(WORK, stack.backward - stack.kept, "a layer's backward pass, run again or not (measured)", ("layers",))
    size = shape.embedding * job.width + 2 * tokens * shape.hidden * job.width
    note = f"{count_of(shape.embedding)} x {job.width} bytes: the embedding's new gradient, and hidden states"
    yield Part(WORK, size, note, ("embedding",))


def longest_row(measured: Measured, job: PlanInput, memory: int) -> int:
    """Most tokens of a row with which the job fits in `memory` bytes; 0 if none do.

    Memory is a straight line in tokens for each phase, but for short rows, which fill no piece of logits. So the line
    is drawn anew near where it led, and the answer is checked.
    """
    degree = job.engine.sequence_parallel
    far = max(2, job.local_tokens) * degree
    found = 0
    for _ in range(4):
        found = _along_a_line(measured, job, memory, far)
        if found == 0 or abs(found - far) < 0.02 * far:
            break
        far = max(2 * degree, found)
    step = degree * (64 if found >= 4096 * degree else 1)
    found = found // step * step
    while found > 0 and budget(measured, replace(job, row_tokens=found)).total > memory:
        found = min(found - step, int(found * 0.98)) // step * step
    return max(0, found)


def _along_a_line(measured: Measured, job: PlanInput, memory: int, far: int) -> int:
    """Tokens at which a line through half of `far` tokens and `far` reaches `memory`."""
    degree = job.engine.sequence_parallel
    near = far // degree // 2 * degree
    one, two = (budget(measured, replace(job, row_tokens=n)) for n in (near, far))
    longest = float("inf")
    for phase in PHASES:
        slope = (two.held(phase) - one.held(phase)) / (far - near)
        room = memory - one.held(phase)
        if slope > 0:
            longest = min(longest, near + room / slope)
        elif room < 0:
            return 0
    return max(0, int(longest))
