"""Is the learner's forward pass the model's own? Measured when an `Engine` starts, before anything is trained.

The learner takes a transformers model apart: it hands attention to kernels of its own that keep packed documents apart,
shares rows among ranks, and makes log-probabilities of hidden states and `lm_head` itself. A model may do more than
that, in its head, in attention or across tokens, and would then be trained on another objective without a sign. So two
short random documents go through the model as its authors wrote it, each alone, and through the learner: one alone,
both in a row, that row with another first document, and in training mode. What differs is named and refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from reprise.core.errors import UserError
from reprise.learner.packing import Document
from reprise.learner.policy import Policy
from reprise.learner.rows import MicroBatch, pack

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Nats a token that rounding explains, in the mean over a document: between two kernels, as plain attention and the
# learner's are, and within one, where only a mixture of experts rounds otherwise when another document changes. In
# bfloat16 SmolLM2-135M differs by 0.08 between two kernels, and not at all within one.
_BETWEEN_KERNELS = {"float32": 2e-4, "bfloat16": 0.5}
_WITHIN_ONE = {"float32": 2e-4, "bfloat16": 0.1}
_LENGTHS = (33, 33, 18)  # tokens: no multiples of a number of ranks, and more than convolutions see
_SEED = 0


@dataclass(frozen=True, slots=True)
class Differences:
    """Mean |difference| over the tokens of the document where it is largest, nats; infinite if one is no number.

    alone   of a document by itself, from the model's own forward pass
    packed  of two documents in one row, from the same
    leak    of the second document of a row, from itself after another first document
    train   of a row in training mode, from itself in evaluation mode
    """

    alone: float
    packed: float
    leak: float
    train: float


def self_check(
    policy: Policy, forward: torch.nn.Module, origin: str, dtype: str, device: torch.device, rank: int, ranks: int
) -> None:
    """Refuse a policy whose log-probabilities in the learner are not the model's own: UserError, on every rank alike.

    Collective over all ranks of the process group. `forward` is `policy` as it is trained; `rank` of `ranks` share a
    row; errors begin with `origin`.
    """
    kind = policy.model.config.get_text_config().model_type
    try:
        found = differences(policy, forward, device, rank, ranks)
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # models are programs and fail in their own ways
        lines = str(error).strip().splitlines() or [""]
        raise UserError(
            f"{origin}: model type {kind} cannot be trained: the learner's forward pass fails with "
            f"{type(error).__name__}: {lines[0]}; docs/models.md lists the families that can"
        ) from error
    worst = torch.tensor(astuple(found), dtype=torch.float64, device=device)
    torch.distributed.all_reduce(worst, op=torch.distributed.ReduceOp.MAX)
    reason = refusal(Differences(*worst.tolist()), dtype, ranks)
    if reason is not None:
        raise UserError(
            f"{origin}: model type {kind} cannot be trained: its log-probabilities in the learner are not the model's "
            f"own: {reason}; docs/models.md lists the families that can"
        )


def refusal(found: Differences, dtype: str, ranks: int = 1) -> str | None:
    """What differs by more than rounding explains, the simplest case first; None if nothing does."""
    where = "by itself" if ranks == 1 else f"in a row that {ranks} ranks share"
    cases = (
        (
            found.alone,
            _BETWEEN_KERNELS,
            f"a document {where} differs",
            "head or attention do what the learner's do not",
        ),
        (found.leak, _WITHIN_ONE, "a document changes with another in its row", "its layers reach across documents"),
        (found.packed, _BETWEEN_KERNELS, "documents packed into one row differ", "its positions run on across them"),
        (found.train, _WITHIN_ONE, "training mode differs from evaluation mode", "something in it is random"),
    )
    for nats, limits, what, why in cases:
        if not nats <= limits[dtype]:
            return f"{what} by {nats:.2g} nats a token, of which rounding explains {limits[dtype]:g} ({why})"
    return None


@torch.no_grad()
def differences(
    policy: Policy, forward: torch.nn.Module, device: torch.device, rank: int = 0, ranks: int = 1
) -> Differences:
    """What this rank's share of the rows shows. Leaves the policy in evaluation mode and random states as they were."""
    longest = policy.reach.tokens if policy.reach is not None else max(_LENGTHS)
    rng = np.random.default_rng(_SEED)
    vocabulary = policy.model.config.get_text_config().vocab_size
    first, other, second = (_document(rng.integers(0, vocabulary, min(n, longest + 1))) for n in _LENGTHS)
    by_itself, row, changed = (pack(r, device, rank, ranks) for r in ([first], [first, second], [other, second]))

    with policy.at_temperature(1.0), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        forward.eval()
        own = own_logprobs(policy.model, [first, second], device)
        alone, packed, after_another = (forward(batch)[0] for batch in (by_itself, row, changed))
        forward.train()
        train = forward(row)[0]
        forward.eval()
    return Differences(
        alone=_worst(by_itself, alone, own[0][by_itself.held]),
        packed=_worst(row, packed, torch.cat(own)[row.held]),
        leak=_worst(row, packed, torch.where(row.documents == 1, after_another, packed)),
        train=_worst(row, train, packed),
    )


def own_logprobs(model: PreTrainedModel, documents: list[Document], device: torch.device) -> list[torch.Tensor]:
    """float32[M] of each document's targets by the model's own forward pass, documents one by one, plain attention.

    The products of the head are summed in float32, as the learner's are: rounded to bfloat16 they alone would differ by
    tenths of a nat. Every rank runs whole documents.
    """
    made = []
    with _as_written(model):
        for document in documents:
            tokens = torch.from_numpy(document.tokens.astype(np.int64)).to(device)
            logprobs = model(input_ids=tokens[None, :-1], use_cache=False).logits[0].float().log_softmax(-1)
            made.append(logprobs.gather(1, tokens[1:, None])[:, 0])
    return made


@contextmanager
def _as_written(model: PreTrainedModel) -> Iterator[None]:
    head, config = model.get_output_embeddings(), model.config
    usual, learners = head.forward, config._attn_implementation
    if head.weight.dtype != torch.float32:
        head.forward = lambda hidden: torch.nn.functional.linear(hidden.float(), head.weight.float())
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = learners
        head.forward = usual


def _document(tokens: np.ndarray) -> Document:
    return Document(tokens.astype(np.int32), np.arange(1, len(tokens)))


def _worst(row: MicroBatch, got: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest mean |difference| over this rank's tokens of a document."""
    apart = torch.where(got == expected, 0.0, (got - expected).abs()).double().nan_to_num(nan=torch.inf)
    means = [float(apart[row.documents == document].mean()) for document in row.documents.unique()]
    return max(means, default=0.0)
