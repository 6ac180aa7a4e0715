"""Memory of a rank, part by part, as arithmetic that can be read: what DeepSpeed 0.19 holds, and when.

P parameters, N ranks. ZeRO shards over all ranks, sequence-parallel ones too. Sources: deepspeed/runtime/zero/
stage_1_and_2.py and stage3.py (what each buffer's dtype and life are), arXiv 1910.02054 (the stages).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Literal

from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

from reprise.learner.optim import DeepSpeedConfig
from reprise.learner.planning.job import ModelShape, PlanInput

Phase = Literal["forward", "head", "layers", "embedding", "step"]
# head: log-probabilities, entropies and their backward pass; layers, embedding: the backward pass through them;
# step: the optimiser's.
PHASES: tuple[Phase, ...] = ("forward", "head", "layers", "embedding", "step")
PASS: tuple[Phase, ...] = PHASES[:-1]
BACKWARD: tuple[Phase, ...] = ("layers", "embedding")

GIB = 2**30

# deepspeed/runtime/engine.py, MEMORY_OPT_ALLREDUCE_SIZE: elements that BF16_Optimizer's gradients are reduced by.
_REDUCED_AT_ONCE = 500_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of one kind, with the arithmetic that gave them, and the phases in which they are held.

    kind   the row of the table
    host   in host memory although the rank has a GPU
    """

    kind: str
    size: int
    how: str
    phases: tuple[Phase, ...] = PHASES
    host: bool = False


@dataclass(frozen=True, slots=True)
class Buckets:
    """DeepSpeed's buffers in elements, and the bytes of a gradient: summed, and on its way between ranks."""

    summed: int
    sent: int
    reduce: int
    prefetch: int
    persistent: int
    max_live: int
    reuse: int
    sub_group: int

    @classmethod
    def of(cls, config: DeepSpeedConfig) -> Buckets:
        """From a DeepSpeed configuration."""
        zero = DeepSpeedZeroConfig(**config["zero_optimization"])
        in_float32 = not config["bf16"]["enabled"] or config.get("data_types", {}).get("grad_accum_dtype") == "fp32"
        return cls(
            summed=4 if in_float32 else 2,
            sent=4 if not config["bf16"]["enabled"] or config.get("communication_data_type") == "fp32" else 2,
            reduce=int(zero.reduce_bucket_size),
            prefetch=int(zero.prefetch_bucket_size),
            persistent=int(zero.param_persistence_threshold),
            max_live=int(zero.max_live_parameters),
            reuse=int(zero.max_reuse_distance),
            sub_group=int(zero.sub_group_size),
        )


def static_parts(job: PlanInput, shape: ModelShape, buckets: Buckets) -> Iterator[Part]:
    """All that does not depend on the tokens of a row."""
    yield from _parameters(job, shape, buckets)
    yield from _gradients(job, shape, buckets)
    yield from _optimiser(job, shape)
    yield from _communication(job, shape, buckets)
    if job.fixed_bytes:
        why = "assumed: CUDA context, NCCL, workspaces, fragmentation" if job.on_gpu else "libraries"
        yield Part("fixed overhead", job.fixed_bytes, why)


def _parameters(job: PlanInput, shape: ModelShape, buckets: Buckets) -> Iterator[Part]:
    ranks, width = job.engine.world_size, job.width
    if job.engine.zero_stage < 3:
        yield _whole("parameters", shape.parameters, width)
    else:
        yield _share("parameters", shape.parameters, width, ranks, host=job.engine.offload.parameters)
        small = shape.up_to(buckets.persistent)
        yield Part("parameters", small * width, f"{count_of(small)} in small parameters, kept whole, x {width} bytes")
    if job.reference:
        if job.engine.zero_stage < 3:
            yield _whole("reference", shape.parameters, width)
        else:
            yield _share("reference", shape.parameters, width, ranks)


def _gradients(job: PlanInput, shape: ModelShape, buckets: Buckets) -> Iterator[Part]:
    """Sums over micro-batches, and what they become for the optimiser: this rank's part, flat, in float32."""
    ranks, stage, p = job.engine.world_size, job.engine.zero_stage, shape.parameters
    summed, offload = buckets.summed, job.engine.offload.optimizer
    wider = summed != job.width  # weights in bfloat16, sums in float32: another way through DeepSpeed
    mine = ceil(p / ranks)
    if stage == 1:
        phases = (
            PHASES if wider and not offload else PASS
        )  # then they are one flat buffer, whose parts are stepped with
        yield _whole("gradients", p, summed, phases, "whole, summed over micro-batches")
        if wider and not offload:
            yield _whole("gradients", p, job.width, PHASES, "whole, of one micro-batch; zeroed, not freed")
    else:
        note = "summed over micro-batches"
        yield _share("gradients", p, summed, ranks, PHASES, note, host=offload)
    if offload:
        yield _share("gradients", p, 4, ranks, PHASES, "float32, for the step", host=True)
    elif stage == 3:
        stepped = min(mine, buckets.sub_group)
        what = "this rank's part" if stepped == mine else "a sub-group"
        if summed < 4:
            yield Part("gradients", stepped * summed, f"{count_of(stepped)} x {summed} bytes: {what}, flat", ("step",))
        yield Part("gradients", stepped * 4, f"{count_of(stepped)} x 4 bytes: {what}, flat, float32", ("step",))
    elif not wider:
        # On CPU a page is not resident before a gradient is moved to it, from where it was.
        phases = (*BACKWARD, "step") if stage == 1 and job.on_gpu else ("step",) if stage == 1 else BACKWARD
        yield _share("gradients", p, summed, ranks, phases, "this rank's part, of the last micro-batch")
        yield _share("gradients", p, summed, ranks, ("step",), "this rank's part, flat")
        if summed < 4:
            yield _share("gradients", p, 4, ranks, ("step",), "this rank's part, flat, float32")


def _optimiser(job: PlanInput, shape: ModelShape) -> Iterator[Part]:
    ranks, host = job.engine.world_size, job.engine.offload.optimizer
    p, kind = shape.parameters, job.engine.optimizer
    if kind == "adamw":
        yield _share("optimiser", p, 12, ranks, note="float32 master weights 4 + two moments 8", host=host)
    elif kind == "sgd":
        yield _share("optimiser", p, 4, ranks, note="float32 master weights", host=host)
    else:
        yield _share("optimiser", p, 4, ranks, note="float32 master weights", host=host)
        yield _share("optimiser", shape.layer_matrices, 4, ranks, note="Muon's momentum", host=host)
        rest = p - shape.layer_matrices
        yield _share("optimiser", rest, 8, ranks, note="AdamW's moments of the rest", host=host)
    if host:
        yield _share("optimiser", p, job.width, ranks, note="copy on its way back to the GPU", host=True)
    elif kind != "sgd" and not job.on_gpu:
        # torch's AdamW on CPU is not fused: sqrt(v) and sqrt(v) / bias correction exist whole.
        yield _share("optimiser", p, 8, ranks, ("step",), "temporaries of AdamW on CPU")


def _communication(job: PlanInput, shape: ModelShape, buckets: Buckets) -> Iterator[Part]:
    width, stage, ranks = job.width, job.engine.zero_stage, job.engine.world_size
    bucket = min(buckets.reduce, shape.parameters)
    if stage == 1 and buckets.summed != width and not job.engine.offload.optimizer:
        count = min(_REDUCED_AT_ONCE, shape.parameters)
        yield Part("communication", count * 4, f"{count_of(count)} x 4 bytes: reduced at once", ("embedding",))
        return
    reason = f"{count_of(bucket)} x {width} bytes: reduce bucket"
    if stage > 1 or job.on_gpu:
        yield Part("communication", bucket * width, reason, PHASES if stage == 3 else ("head", *BACKWARD))
    else:  # on CPU its pages are resident once gradients have been moved there, when activations are gone
        yield Part("communication", bucket * width, reason, ("embedding",))
    if ranks > 1 or stage == 3:
        note = f"{count_of(bucket)} x {buckets.sent} bytes: the bucket on its way between ranks"
        yield Part("communication", bucket * buckets.sent, note, BACKWARD)
    if job.engine.offload.optimizer and stage < 3:
        largest = max(shape.sizes)
        yield Part(
            "communication", largest * width, f"{count_of(largest)} x {width} bytes: largest gradient, to the host"
        )
    if stage == 3:
        yield from _gathered(job, shape, buckets)


def _gathered(job: PlanInput, shape: ModelShape, buckets: Buckets) -> Iterator[Part]:
    """ZeRO-3's whole parameters. Those whose next use is within the reuse distance are not released."""
    width, kind = job.width, "gathered parameters"
    if 2 * shape.parameters <= buckets.reuse:  # forward and backward pass together
        note = "all, the next use of each being near"
        yield Part(kind, shape.parameters * width, f"{count_of(shape.parameters)} x {width} bytes: {note}", PASS)
        return
    # The head belongs to `Policy` itself: it stays from the beginning of a pass to its end.
    yield Part(kind, shape.output * width, f"{count_of(shape.output)} x {width} bytes: lm_head, all the time", PASS)
    if shape.head:
        note = f"{count_of(shape.embedding)} x {width} bytes: embedding"
        yield Part(kind, shape.embedding * width, note, ("forward", "embedding"))
    # Where the pass turns round, the distance to a layer's next use is the head and the later layers, there and back.
    near = max(0, buckets.reuse - shape.output) // 2
    layers = min(shape.layer + near + buckets.prefetch, shape.layer * shape.layers)
    counts = [count_of(n) for n in (layers, shape.layer, buckets.prefetch, near)]
    note = "{} x {} bytes: a layer {}, prefetched {}, kept for their next use {}".format(counts[0], width, *counts[1:])
    yield Part(kind, layers * width, note, ("forward", "head", "layers"))


def _whole(kind: str, count: int, width: int, phases: tuple[Phase, ...] = PHASES, note: str = "") -> Part:
    return Part(kind, count * width, f"{count_of(count)} x {width} bytes{': ' if note else ''}{note}", phases)


def _share(
    kind: str,
    count: int,
    width: int,
    ranks: int,
    phases: tuple[Phase, ...] = PHASES,
    note: str = "",
    host: bool = False,
) -> Part:
    over = f" / {ranks} ranks" if ranks > 1 else ""
    how = f"{count_of(count)} x {width} bytes{over}{': ' if note else ''}{note}"
    return Part(kind, ceil(count / ranks) * width, how, phases, host)


def count_of(count: int) -> str:
    """12.704e9, 131.1e6, 98,304"""
    for power in (9, 6):
        if count >= 10**power:
            return f"{count / 10**power:.3f}e{power}"
    return f"{count:,}"
