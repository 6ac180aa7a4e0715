"""The train engine on DeepSpeed: packs documents, runs forward and backward, steps the optimiser. No Ray.

Data-parallel ranks train on different rows, sequence-parallel ranks on different tokens of the same row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from reprise.core.types import Float32, Int32
from reprise.learner import (  # ranks comes before deepspeed: it sets what DeepSpeed reads when imported
    activation_checkpointing as checkpointing,
)
from reprise.learner import ranks
from reprise.learner.attention import Attend, Whole, kernel
from reprise.learner.checkpoints import Checkpointer, load
from reprise.learner.checkpoints.client_state import State
from reprise.learner.heads import check_degree
from reprise.learner.optim import attach, build_optimizer, deepspeed_config, set_hyperparameters
from reprise.learner.packing import Document, Plan, document, imbalance, padding_share, plan
from reprise.learner.policy import Policy, load_model
from reprise.learner.reference import Reference
from reprise.learner.rows import pack
from reprise.learner.self_check import self_check
from reprise.learner.sequence_parallel import SumOverRanks, Ulysses
from reprise.learner.settings import SaveSettings, TrainEngineSettings
from reprise.learner.skipped import NotFinite, SkippedSteps
from reprise.learner.train_engine import LossOf, OptimizerStep, Share, TrainEngine
from reprise.models.policy import read_config

import deepspeed  # isort: skip

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class Engine(TrainEngine):
    """A DeepSpeed rank that holds the policy being trained.

    policy_dir   Hugging Face folder the weights come from
    dtype        float32 | bfloat16 (float32 master weights stay in the optimiser)
    temperature  by which logits are divided everywhere: the engines' sampling temperature in RL
    seed         of the process's random state; the same on every rank
    """

    def __init__(
        self,
        settings: TrainEngineSettings,
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
        self.dtype = dtype
        if world_size != settings.world_size:
            raise ValueError(f"{world_size} ranks were started for settings of world_size {settings.world_size}")
        check_degree(read_config(self.policy_dir), settings.sequence_parallel)
        self.device = ranks.join(rank, world_size, master_addr, master_port, settings.step_deadline_s)
        self._row_group = ranks.sequence_group(settings.sequence_parallel)
        self._across = SumOverRanks(self._row_group)
        torch.manual_seed(seed)
        self.optimizer_steps = 0
        self._skipped = SkippedSteps(settings.max_skipped)
        self._checkpointer: Checkpointer | None = None

        model = load_model(policy_dir, dtype)
        checkpointing.apply(model, settings.checkpointing)
        self.policy = Policy(model, temperature, self._attention(model.config), settings.logprobs)
        self._cost = self.policy.cost()
        self.engine, *_ = deepspeed.initialize(
            model=self.policy,
            optimizer=build_optimizer(self.policy, settings, on_gpu=self.device.type == "cuda"),
            config=deepspeed_config(settings, dtype, self.policy.parameter_count, self.policy.hidden_size),
        )
        attach(self.engine)
        if settings.zero_stage == 3:
            self.policy.share_head()
        degree = settings.sequence_parallel
        self_check(self.policy, self.engine, f"policy {policy_dir}", dtype, self.device, rank % degree, degree)
        self.begin_stage(settings)

    @property
    def model(self) -> PreTrainedModel:
        return self.policy.model

    def _attention(self, config: PreTrainedConfig) -> Attend:
        chosen = kernel(self.settings.attention)
        return Whole(chosen) if self._row_group is None else Ulysses(chosen, config, self._row_group)

    # ---- training ----------------------------------------------------------------------------------------------------

    def optimizer_step(
        self,
        documents: Sequence[Document],
        lr: float,
        loss_of: LossOf,
        normaliser: float | None = None,
        with_entropy: bool = False,
    ) -> OptimizerStep:
        tokens = sum(len(d.targets) for d in documents)
        layout = self._plan(documents)
        self.engine.train()
        for group in self.engine.basic_optimizer.param_groups:
            group["lr"] = lr
        mine = self._mine(layout)
        broken = torch.zeros((), dtype=torch.int64, device=self.device)
        for k, indices in enumerate(mine):
            self.engine.set_gradient_accumulation_boundary(k == len(mine) - 1)
            share, logprobs, entropies = self._forward(self.engine, documents, indices, with_entropy)
            # DeepSpeed averages gradients over the ranks; the sum over ranks is wanted.
            loss = loss_of(share, logprobs, entropies) * (self.world_size / (normaliser or tokens))
            # A loss that is not finite must skip the step even if its gradient happens to be finite: the gradient is
            # made not finite too, which DeepSpeed sees in the global norm, on every rank, before it touches anything.
            loss = loss * torch.where(loss.detach().isfinite(), 1.0, torch.nan)
            broken = torch.maximum(broken, _not_finite(loss.detach(), logprobs.detach()))
            self.engine.backward(loss, scale_wrt_gas=False)
        self.engine.step()
        self.optimizer_steps += 1
        self._count(broken)
        lengths = [d.length for d in documents]
        return OptimizerStep(
            applied=self.engine.was_step_applied(),
            grad_norm=float(self.engine.get_global_grad_norm()),
            lr=lr,
            tokens=tokens,
            padding=padding_share(layout, lengths, self.settings.sequence_parallel),
            imbalance=imbalance(layout, lengths, self._cost),
        )

    def _count(self, broken: torch.Tensor) -> None:
        """Whether the step was skipped, and if so because of the worst that any rank saw (collective then)."""
        if self.engine.was_step_applied():
            self._skipped.applied()
        else:
            torch.distributed.all_reduce(broken, op=torch.distributed.ReduceOp.MAX)
            self._skipped.skipped(NotFinite(int(broken)), self.optimizer_steps)

    def begin_stage(self, settings: TrainEngineSettings) -> None:
        """Train on as if training began here: no moments, no steps, and the `STAGE_KEYS` of these settings."""
        set_hyperparameters(self.engine.basic_optimizer, settings)
        self.engine.basic_optimizer.state.clear()
        self.optimizer_steps = 0

    # ---- log-probabilities and weights -------------------------------------------------------------------------------

    def logprobs(self, sequences: Sequence[tuple[Int32, Int32]], temperature: float | None = None) -> list[Float32]:
        with self.policy.at_temperature(temperature or self.policy.temperature):
            return self.document_logprobs([document(prompt, response) for prompt, response in sequences])

    @torch.no_grad()
    def document_logprobs(self, documents: Sequence[Document], module: torch.nn.Module | None = None) -> list[Float32]:
        """Log-probabilities of every document's targets, shared among all ranks; of another `module` if given."""
        module = module or self.engine
        ends = np.cumsum([len(d.targets) for d in documents])
        flat = torch.zeros(int(ends[-1]) if len(ends) else 0, dtype=torch.float32, device=self.device)
        places = [np.arange(end - len(d.targets), end) for d, end in zip(documents, ends)]
        module.eval()
        for indices in self._mine(self._plan(documents)):
            share, logprobs, _ = self._forward(module, documents, indices, with_entropy=False)
            if indices:
                flat[share.of([places[i] for i in indices])] = logprobs
        torch.distributed.all_reduce(flat)
        return np.split(flat.cpu().numpy(), ends[:-1]) if len(ends) else []

    def frozen(self, folder: Path) -> Reference:
        return Reference(self, folder)

    def named_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Under ZeRO-3 each is gathered as it is reached and valid until the next."""
        for name, parameter in self.policy.model.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], enabled=self.settings.zero_stage == 3):
                yield name, parameter.data

    # ---- rows --------------------------------------------------------------------------------------------------------

    def _plan(self, documents: Sequence[Document]) -> Plan:
        lengths = [d.length for d in documents]
        return plan(lengths, self.settings.data_parallel, self.settings.token_budget, self._cost)

    def _mine(self, layout: Plan) -> list[list[int]]:
        return layout[self.rank // self.settings.sequence_parallel]

    def _forward(
        self, module: torch.nn.Module, documents: Sequence[Document], indices: list[int], with_entropy: bool
    ) -> tuple[Share, torch.Tensor, torch.Tensor | None]:
        degree = self.settings.sequence_parallel
        batch = pack([documents[i] for i in indices], self.device, self.rank % degree, degree)
        logprobs, entropies = module(batch, with_entropy=with_entropy)
        return Share(indices, batch.held, batch.documents, self._across), logprobs, entropies

    # ---- between ranks -----------------------------------------------------------------------------------------------

    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        torch.distributed.all_reduce(values)
        return values

    def max_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
        return values

    # ---- checkpoints -------------------------------------------------------------------------------------------------

    def keep_checkpoints(self, folder: Path, settings: SaveSettings) -> None:
        keep, deadline_s = settings.keep, self.settings.step_deadline_s
        self._checkpointer = Checkpointer(folder, keep, settings.asynchronous, self.rank, self.world_size, deadline_s)

    def save(self, step: int, state: Mapping[str, object]) -> None:
        assert self._checkpointer is not None
        self._checkpointer.save(self.engine, step, {**state, "engine": {"optimizer_steps": self.optimizer_steps}})

    def saved(self) -> None:
        if self._checkpointer is not None:
            self._checkpointer.wait()

    def load(self, path: Path) -> State:
        state = load(self.engine, path)
        self.optimizer_steps = state.pop("engine", state.get("learner"))["optimizer_steps"]  # as in version 0.1.0
        return state

    def close(self) -> None:
        """And DeepSpeed's hooks and buffers; the process group lives as long as the process."""
        try:
            self.saved()
        finally:
            self.engine.destroy()


def _not_finite(loss: torch.Tensor, logprobs: torch.Tensor) -> torch.Tensor:
    """The `NotFinite` of a micro-batch, int64, as far as its forward pass shows."""
    return torch.where(
        logprobs.isfinite().all(),
        torch.where(loss.isfinite(), int(NotFinite.GRADIENT), int(NotFinite.LOSS)),
        int(NotFinite.LOGPROBS),
    )
