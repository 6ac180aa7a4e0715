"""The policy as the learner trains it: a transformers causal LM whose forward pass yields log-probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import deepspeed
import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from reprise.core.errors import UserError
from reprise.learner import attention
from reprise.learner.heads import heads_of
from reprise.learner.logits import check_logits, logits_of
from reprise.learner.logprobs import HEADS
from reprise.learner.packing import Cost
from reprise.learner.rows import MicroBatch
from reprise.models.architecture import check_architecture, check_reach, reach
from reprise.models.policy import read_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Of mixtures of experts, in training mode only. (PhiMoE's `router_jitter_noise` is another thing, and acts always.)
_JITTER = ("jitter_noise", "input_jitter_noise")


def load_model(policy_dir: str | Path, dtype: str) -> PreTrainedModel:
    """The causal LM in a Hugging Face folder, in `dtype`, with attention that keeps packed documents apart.

    Nothing in it is random: dropout and noise are 0. Raises UserError for an architecture that cannot be trained.
    """
    config = read_config(Path(policy_dir))  # which makes Motif-2 known to transformers
    check_architecture(config)
    disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            policy_dir,
            dtype=getattr(torch, dtype),
            attn_implementation=attention.NAME,
            local_files_only=True,
            trust_remote_code=False,
        )
    except KeyError as error:
        if error.args != (attention.NAME,):
            raise
        raise UserError(
            f"policy folder {policy_dir}: the attention of model type {config.model_type} does not go through "
            "transformers' attention interface; docs/models.md lists the families that can be trained"
        ) from error
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        what = "without lm_head" if head is None else "whose lm_head has a bias"
        raise UserError(f"policy folder {policy_dir}: a model {what} is not supported")
    model.config.use_cache = False
    without_noise(model)
    return model


def without_noise(model: torch.nn.Module) -> None:
    """Set every dropout, dropped layer and jitter of a transformers model to 0: training sees the distribution that the
    policy is sampled from."""
    for module in model.modules():
        for holder in (module, getattr(module, "config", None)):
            for name, value in vars(holder).items() if holder is not None else ():
                if isinstance(value, float) and ("drop" in name or name in _JITTER):
                    setattr(holder, name, 0.0)
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0


class Policy(torch.nn.Module):
    """Wraps the causal LM so that backbone and chunked head are one module, one forward pass for DeepSpeed's hooks.

    attend   what attention is handed to: `learner.attention.Whole` or `learner.sequence_parallel.Ulysses`
    head     from hidden states to log-probabilities: `learner.logprobs.HEADS`
    """

    def __init__(
        self, model: PreTrainedModel, temperature: float, attend: attention.Attend | None, head: str = "streamed"
    ) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.attend = attend
        self.head = head
        self.parameter_count = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters())
        self.hidden_size: int = model.config.get_text_config().hidden_size
        check_logits(model.config, head)
        self._logits = logits_of(model.config)
        self.reach = reach(model.config)
        self._head = (model.get_output_embeddings(),)  # in a tuple: not a submodule a second time

    def forward(self, batch: MicroBatch, with_entropy: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-probabilities float32[m] of the targets at the policy's temperature; entropies float32[m] if asked.

        Raises UserError for a document that is longer than some layer looks back.
        """
        if self.reach is not None and batch.layout.longest > self.reach.tokens:
            check_reach(self.model.config, "a document's length", batch.layout.longest)
        share = self.model.base_model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            row=batch.layout,
            over=self.attend,
        ).last_hidden_state[0]
        hidden = share.index_select(0, batch.predictors)
        scale, cap = self._logits.scale, self._logits.cap
        return HEADS[self.head](
            hidden,
            self._head[0].weight,
            batch.targets,
            self.temperature / scale,
            None if cap is None else cap / scale,  # cap · tanh(scale · z / cap) = scale · (cap / scale) · tanh(...)
            with_entropy,
        )

    @contextmanager
    def at_temperature(self, temperature: float) -> Iterator[None]:
        """Log-probabilities at another temperature than the sampling one, such as those a check compares."""
        usual, self.temperature = self.temperature, temperature
        try:
            yield
        finally:
            self.temperature = usual

    def share_head(self) -> None:
        """Under ZeRO-3: have the head's weight gathered with this module, since it is read past its own module."""
        deepspeed.zero.register_external_parameter(self, self._head[0].weight)

    def cost(self) -> Cost:
        """Forward FLOPs: 2 a weight for each token, and 4 a head dimension for each pair of tokens that attend."""
        config = self.model.config.get_text_config()
        heads = heads_of(config)
        weights = sum(
            getattr(p, "ds_numel", p.numel())
            for n, p in self.model.named_parameters()
            if len(getattr(p, "ds_shape", p.shape)) == 2 and "embed" not in n
        )
        pairs_per_square = 0.5  # causal
        return Cost(
            per_token=2.0 * weights,
            per_pair=4.0 * pairs_per_square * config.num_hidden_layers * heads.query * heads.head_dim,
        )
