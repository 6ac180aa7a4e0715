"""FLOPs a token and the time of a row, at a stated utilisation of the device's peak."""

from __future__ import annotations

from dataclasses import dataclass

from reprise.learner.heads import heads_of
from reprise.learner.planning.job import PlanInput
from reprise.learner.planning.measure import Measured

# Dense bfloat16 matrix products without sparsity; NVIDIA's data sheet of the H100 SXM.
H100_TFLOPS = 989.0


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs for one token of a row of a given length, averaged over its tokens.

    forward    2 for each weight a token is multiplied by
    attention  forward; 4 for each head dimension and pair of tokens that attend, in one document as long as the row
    backward   of both: twice the forward pass
    again      computed a second time in the backward pass: layers by checkpointing policy (measured), and the logits
    extra      passes without gradient: proximal and reference log-probabilities, entropies
    """

    forward: float
    attention: float
    backward: float
    again: float
    extra: float

    @property
    def model(self) -> float:
        """What the training pass needs without recomputation: what MFU counts."""
        return self.forward + self.attention + self.backward

    @property
    def total(self) -> float:
        """What is computed."""
        return self.model + self.again + self.extra


def flops(measured: Measured, job: PlanInput) -> Flops:
    """FLOPs a token of the job at its full row."""
    shape, tokens = measured.shape, job.local_tokens
    heads = heads_of(job.config)
    stack = measured.stack(job.engine.checkpointing, tokens, job.engine.sequence_parallel)
    forward = 2.0 * shape.dense
    pairs = 0.5 * job.row_tokens  # causal
    attention = 4.0 * pairs * shape.layers * heads.query * heads.head_dim
    layers_again = (stack.backward_flops - 2 * stack.forward_flops) / tokens
    attention_again = (stack.attentions - shape.layers) / shape.layers * attention
    logits = 2.0 * shape.output
    return Flops(
        forward=forward,
        attention=attention,
        backward=2 * (forward + attention),
        again=layers_again + attention_again + logits,
        extra=job.extra_forwards * (forward + attention) + (logits if job.with_entropy else 0.0),
    )


@dataclass(frozen=True, slots=True)
class Throughput:
    """What `mfu` of `peak_tflops` means for a job.

    row_s        seconds for one full row on the ranks that share it
    tokens_s     tokens a second over all ranks
    mfu          FLOPs of `Flops.model` over the peak: below the stated one by what is computed beside them
    """

    row_s: float
    tokens_s: float
    mfu: float


def throughput(work: Flops, job: PlanInput, utilisation: float, peak_tflops: float) -> Throughput:
    """Time at a stated utilisation: all that is computed, recomputation included, over the devices' peak.

    Communication that is not hidden, optimiser steps and padding are not counted: the stated utilisation is to stand
    for them.
    """
    engine = job.engine
    rate = utilisation * peak_tflops * 1e12  # of one rank
    row_s = work.total * job.row_tokens / (rate * engine.sequence_parallel)
    return Throughput(row_s, engine.data_parallel * job.row_tokens / row_s, utilisation * work.model / work.total)
