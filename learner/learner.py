"""One rank of the learner: packs a batch, computes the objective, steps the optimiser through DeepSpeed. No Ray here.

Every rank is given the same global batch and trains on its own share of it. All methods are collective.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from buffer.types import Float32, Group, Int32
from learner import ranks  # comes before deepspeed: it sets what DeepSpeed reads when it is imported
from learner.batch import PolicyDocument, policy_documents
from learner.losses import POLICY_LOSSES, PolicyTokens
from learner.metrics import PolicyTally
from learner.optim import build_optimizer, deepspeed_config, rl_schedule
from learner.packing import Document, document, pack, padding_share, plan, require_fits
from learner.policy import Policy, load_model
from learner.settings import LearnerSettings

import deepspeed  # isort: skip

# Given the indices of a micro-batch's documents, log-probabilities and entropies of their targets: the loss, summed.
LossOf = Callable[[list[int], torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True, slots=True)
class OptimizerStep:
    """What one optimiser step did. `grad_norm` is the global norm before clipping; infinite if the step was skipped."""

    applied: bool
    grad_norm: float
    lr: float
    tokens: int
    padding: float


class Learner:
    """A DeepSpeed rank that holds the policy being trained.

    policy_dir   Hugging Face folder the weights come from
    dtype        float32 | bfloat16 (float32 master weights stay in the optimiser)
    temperature  the engines' sampling temperature, by which logits are divided everywhere
    seed         of the order of minibatches; the same on every rank
    """

    def __init__(
        self,
        settings: LearnerSettings,
        policy_dir: str | Path,
        dtype: str,
        temperature: float,
        rank: int,
        world_size: int,
        master_addr: str,
        master_port: int,
        seed: int,
    ) -> None:
        self.settings, self.policy_dir, self.rank, self.world_size = settings, Path(policy_dir), rank, world_size
        self.device = ranks.join(rank, world_size, master_addr, master_port, settings.step_deadline_s)
        torch.manual_seed(seed)
        self._order = np.random.default_rng(seed)
        self.optimizer_steps = 0

        self.policy = Policy(load_model(policy_dir, dtype), temperature)
        self._cost = self.policy.cost()
        self.engine, *_ = deepspeed.initialize(
            model=self.policy,
            optimizer=build_optimizer(self.policy, settings, on_gpu=self.device.type == "cuda"),
            config=deepspeed_config(settings, dtype, self.policy.parameter_count, self.policy.hidden_size),
        )
        if settings.zero_stage == 3:
            self.policy.share_head()
        self.reset_optimizer()

    # ---- training ----------------------------------------------------------------------------------------------------

    def train_batch(self, batch: Sequence[Group], version: int) -> dict[str, float]:
        """`epochs` passes over a batch in `minibatches` disjoint random parts, an optimiser step each; its metrics.

        The groups carry advantages; `version` is that of the policy before the batch. learner.metrics defines the
        metrics, which are the same on every rank. A step whose loss or gradient is not finite leaves weights and
        optimiser state untouched on every rank. Raises UserError for a trajectory longer than the token budget.
        """
        require_fits((t for group in batch for t in group.trajectories), self.settings.token_budget)
        documents = policy_documents(batch)
        ahead = self.settings.proximal == "recompute" and self.settings.steps_per_batch > 1
        if ahead:
            for doc, proximal in zip(documents, self._logprobs([d.document for d in documents])):
                doc.proximal = proximal

        tally, steps = PolicyTally(self.device), list[OptimizerStep]()
        for epoch in range(self.settings.epochs if documents else 0):
            order = self._order.permutation(len(documents))
            for part in np.array_split(order, min(self.settings.minibatches, len(documents))):
                measured = epoch == 0 and (ahead or not steps)
                steps.append(self._policy_step([documents[i] for i in part], version, tally, measured))
        return tally.reduce() | _optim_metrics(steps)

    def _policy_step(
        self, documents: list[PolicyDocument], version: int, tally: PolicyTally, measured: bool
    ) -> OptimizerStep:
        """One optimiser step of the objective; `measured`: compare the behaviour policy with the one that was taken."""
        loss_fn = POLICY_LOSSES[self.settings.loss]

        def loss_of(indices: list[int], logprobs: torch.Tensor, entropies: torch.Tensor | None) -> torch.Tensor:
            docs = [documents[i] for i in indices]
            behaviour = self._tensor([d.behaviour for d in docs])
            computed = [d.proximal for d in docs if d.proximal is not None]
            taken = self._tensor(computed) if computed else logprobs.detach()
            loss = loss_fn(
                PolicyTokens(
                    logprobs,
                    proximal=taken if self.settings.proximal == "recompute" else behaviour,
                    behaviour=behaviour,
                    advantages=self._tensor([np.full(len(d.behaviour), d.advantage, np.float32) for d in docs]),
                ),
                self.settings,
            )
            assert entropies is not None
            tally.add_loss(loss, entropies)
            if measured:
                tally.add_mismatch(taken, behaviour, self._tensor([d.versions for d in docs]) == version)
            return loss.total

        lr = rl_schedule(self.settings).at(self.optimizer_steps)
        return self.optimizer_step([d.document for d in documents], lr, loss_of, with_entropy=True)

    def optimizer_step(
        self, documents: Sequence[Document], lr: float, loss_of: LossOf, with_entropy: bool = False
    ) -> OptimizerStep:
        """One optimiser step on the sum of `loss_of` over all documents of all ranks, divided by all their targets."""
        tokens = sum(len(d.targets) for d in documents)
        lengths = [d.length for d in documents]
        layout = plan(lengths, self.world_size, self.settings.token_budget, self._cost)
        self.engine.train()
        for group in self.engine.basic_optimizer.param_groups:
            group["lr"] = lr
        last = len(layout[self.rank]) - 1
        for k, indices in enumerate(layout[self.rank]):
            self.engine.set_gradient_accumulation_boundary(k == last)
            batch = pack([documents[i] for i in indices], self.device)
            logprobs, entropies = self.engine(batch, with_entropy=with_entropy)
            # DeepSpeed averages gradients over the ranks; the sum over ranks is wanted.
            loss = loss_of(indices, logprobs, entropies) * (self.world_size / tokens)
            # A loss that is not finite must skip the step even if its gradient happens to be finite: the gradient is
            # made not finite too, which DeepSpeed sees in the global norm, on every rank, before it touches anything.
            loss = loss * torch.where(loss.detach().isfinite(), 1.0, torch.nan)
            self.engine.backward(loss, scale_wrt_gas=False)
        self.engine.step()
        self.optimizer_steps += 1
        return OptimizerStep(
            applied=self.engine.was_step_applied(),
            grad_norm=float(self.engine.get_global_grad_norm()),
            lr=lr,
            tokens=tokens,
            padding=padding_share(layout, lengths),
        )

    def reset_optimizer(self) -> None:
        """Forget the optimiser's moments and the step count, as if training began here."""
        self.engine.basic_optimizer.state.clear()
        self.optimizer_steps = 0

    # ---- log-probabilities and weights -------------------------------------------------------------------------------

    def logprobs(self, sequences: Sequence[tuple[Int32, Int32]], temperature: float | None = None) -> list[Float32]:
        """For each (prompt_ids, response_ids): float32[R], nats, of the response tokens.

        At `temperature`, the policy's if None.
        """
        with self.policy.at_temperature(temperature or self.policy.temperature):
            return self._logprobs([document(prompt, response) for prompt, response in sequences])

    @torch.no_grad()
    def _logprobs(self, documents: Sequence[Document]) -> list[Float32]:
        """Log-probabilities of every document's targets, shared among all ranks."""
        counts = [len(d.targets) for d in documents]
        ends = np.cumsum(counts)
        flat = torch.zeros(sum(counts), dtype=torch.float32, device=self.device)
        layout = plan([d.length for d in documents], self.world_size, self.settings.token_budget, self._cost)
        self.engine.eval()
        for indices in layout[self.rank]:
            logprobs, _ = self.engine(pack([documents[i] for i in indices], self.device))
            for i, part in zip(indices, logprobs.split([counts[i] for i in indices])):
                flat[ends[i] - counts[i] : ends[i]] = part
        torch.distributed.all_reduce(flat)
        return np.split(flat.cpu().numpy(), ends[:-1])

    def named_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(Hugging Face name, full tensor) of every parameter, tied ones once.

        Under ZeRO-3 each is gathered as it is reached and valid until the next: all ranks iterate to the end.
        """
        for name, parameter in self.policy.model.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], enabled=self.settings.zero_stage == 3):
                yield name, parameter.data

    # ---- state -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Step counter and random state; weights and optimiser state are not in it."""
        return {"optimizer_steps": self.optimizer_steps, "order": self._order.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        self.optimizer_steps = state["optimizer_steps"]
        self._order.bit_generator.state = state["order"]

    def close(self) -> None:
        """Free DeepSpeed's hooks and buffers; the process group lives as long as the process."""
        self.engine.destroy()

    def _tensor(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        joined = np.concatenate(arrays) if arrays else np.zeros(0, np.float32)
        return torch.from_numpy(joined).to(self.device)


def _optim_metrics(steps: Sequence[OptimizerStep]) -> dict[str, float]:
    """The metrics that belong to steps rather than tokens; see learner.metrics."""
    norms = [s.grad_norm for s in steps if s.applied]
    metrics: dict[str, float] = {
        "optim/skipped": len(steps) - len(norms),
        "tokens/trained": sum(s.tokens for s in steps),
    }
    if norms:
        metrics["optim/grad_norm"] = float(np.mean(norms))
    if steps:
        metrics |= {"optim/lr": steps[-1].lr, "packing/padding": float(np.mean([s.padding for s in steps]))}
    return metrics
