"""The learner's forward pass is the model's own, or the learner says what differs and does not start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import batches
import families
import numpy as np
import pytest
import torch
import transformers as hf
from rank_pool import RankPool

from reprise.core.errors import UserError
from reprise.learner import attention, self_check
from reprise.learner.attention import Whole, sdpa
from reprise.learner.logits import Logits, check_logits, logits_of
from reprise.learner.packing import Document
from reprise.learner.policy import Policy, load_model, without_noise
from reprise.learner.rows import pack
from reprise.learner.self_check import Differences, differences, refusal
from reprise.models.motif2.build import build as build_motif2

CPU = torch.device("cpu")


def small(kind: type[hf.PretrainedConfig], **values: Any) -> hf.PretrainedConfig:
    sizes = {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "pad_token_id": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return kind(**{**sizes, **values})


def saved(folder: Path, config: hf.PretrainedConfig) -> Path:
    families.built(config).save_pretrained(folder)
    return folder


def policy(folder: Path, temperature: float = 1.0, head: str = "streamed") -> Policy:
    return Policy(load_model(folder, "float32"), temperature, Whole(sdpa), head)


def found(made: Policy) -> str | None:
    return refusal(differences(made, made, CPU), "float32")


# ---- what passes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_motif2_is_its_own_forward_pass(tmp_path: Path, dtype: str) -> None:
    model = load_model(build_motif2(tmp_path, 0), dtype)
    made = Policy(model, 0.7, Whole(sdpa))
    seen = differences(made, made, CPU)
    assert refusal(seen, dtype) is None
    assert (seen.leak, seen.train) == (0, 0)
    assert made.temperature == 0.7
    assert not made.training


SCALED = {
    "granite": small(hf.GraniteConfig, logits_scaling=0.25),
    "cohere": small(hf.CohereConfig, logit_scale=4.0),
    "hyperclovax": small(hf.HyperCLOVAXConfig, logits_scaling=4.0),
}
CAPPED = {"nanochat": small(hf.NanoChatConfig, final_logit_softcapping=2.0)}


@pytest.mark.parametrize(
    ("family", "head"), [*((f, h) for f in SCALED for h in ("streamed", "liger")), *((f, "streamed") for f in CAPPED)]
)
def test_scaled_and_capped_logits_give_the_gradients_of_the_model_s_own(tmp_path: Path, family: str, head: str) -> None:
    made = policy(saved(tmp_path, (SCALED | CAPPED)[family]), temperature=0.7, head=head)
    assert found(made) is None
    tokens = np.random.default_rng(0).integers(0, 64, 20).astype(np.int32)
    made(pack([Document(tokens, np.arange(1, 20))], CPU))[0].sum().backward()
    ours = {name: p.grad.double() for name, p in made.model.named_parameters() if p.grad is not None}

    twin = hf.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64, attn_implementation="eager")
    ids = torch.from_numpy(tokens.astype(np.int64))
    (twin(ids[None, :-1]).logits[0] / 0.7).log_softmax(-1).gather(1, ids[1:, None]).sum().backward()
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-3, atol=1e-4 * float(parameter.grad.abs().max()))


def test_under_one_name_granite_divides_and_hyperclovax_multiplies() -> None:
    assert logits_of(SCALED["granite"]) == Logits(scale=4.0)
    assert logits_of(SCALED["hyperclovax"]) == Logits(scale=4.0)
    assert logits_of(CAPPED["nanochat"]) == Logits(cap=2.0)


def test_liger_s_kernel_cannot_cap_and_a_scale_must_be_positive() -> None:
    with pytest.raises(UserError, match=r"learner\.logprobs liger cannot cap logits.*nanochat.*use streamed"):
        check_logits(CAPPED["nanochat"], "liger")
    with pytest.raises(UserError, match="logits_scaling is 0; give a number above 0"):
        check_logits(small(hf.GraniteConfig, logits_scaling=0), "streamed")


@pytest.mark.parametrize(
    "config",
    [
        small(hf.OPTConfig, ffn_dim=48, dropout=0.5, attention_dropout=0.5, layerdrop=0.5, word_embed_proj_dim=32),
        hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5),
        small(hf.LlamaConfig, attention_dropout=0.5),
        small(hf.MixtralConfig, router_jitter_noise=0.5, num_local_experts=4),
    ],
)
def test_nothing_is_random_in_training(tmp_path: Path, config: hf.PretrainedConfig) -> None:
    made = policy(saved(tmp_path, config))
    seen = differences(made, made, CPU)
    assert refusal(seen, "float32") is None
    assert seen.train == 0


def test_windows_that_documents_do_not_reach_are_exact_and_others_are_refused(tmp_path: Path) -> None:
    made = policy(saved(tmp_path, small(hf.MistralConfig, sliding_window=12)))
    assert found(made) is None
    documents = [Document(np.arange(1, n + 2, dtype=np.int32), np.arange(1, n + 1)) for n in (12, 13)]
    made(pack(documents[:1], CPU))
    with pytest.raises(UserError, match=r"a document's length 13 is more than the 12 tokens .*sliding_window"):
        made(pack(documents, CPU))


def test_packed_mixtures_of_experts_are_what_they_are_alone(tmp_path: Path) -> None:
    made = policy(
        saved(tmp_path, small(hf.Qwen3MoeConfig, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16))
    )
    assert found(made) is None


# ---- what does not ---------------------------------------------------------------------------------------------------


class _Summing(torch.nn.Module):
    """A layer that adds a mean over all tokens before each, as a recurrent one would."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x + 0.1 * x.cumsum(1))


def test_a_head_that_does_more_is_named(folder: Path) -> None:
    made = policy(folder)
    made._logits = Logits(scale=2.0)
    assert "a document by itself differs by" in str(found(made))


def test_a_state_that_crosses_documents_is_named(folder: Path) -> None:
    made = policy(folder)
    layer = made.model.model.layers[0]
    layer.mlp = _Summing(layer.mlp)
    assert "a document changes with another in its row by" in str(found(made))


@pytest.mark.parametrize(
    ("family", "named"),
    [
        ("minimax", "a document changes with another in its row by"),
        ("nemotron_h", "a document changes with another in its row by"),
        ("bloom", "a document by itself differs by"),
        ("xglm", "a document by itself differs by"),
    ],
)
def test_families_that_are_refused_by_name_would_be_found_out_without_it(family: str, named: str) -> None:
    model = hf.AutoModelForCausalLM.from_config(families.tiny_config(family), attn_implementation=attention.NAME)
    model.load_state_dict(families.built(families.tiny_config(family)).state_dict())
    without_noise(model)
    assert named in str(found(Policy(model, 1.0, Whole(sdpa))))


def test_positions_that_run_on_across_documents_are_named(folder: Path) -> None:
    made = policy(folder)
    usual = made.model.model.forward

    def forward(input_ids: torch.Tensor, **keywords: Any) -> Any:
        # Twice as far apart from the second document on: rotary embeddings do not see a mere shift.
        places = torch.arange(input_ids.shape[1])[None]
        return usual(input_ids, **{**keywords, "position_ids": places + (places - 33).clamp(min=0)})

    made.model.model.forward = forward
    assert "documents packed into one row differ by" in str(found(made))


def test_noise_in_training_is_named(folder: Path) -> None:
    made = policy(folder)
    made.model.model.norm.register_forward_hook(lambda module, _, out: out * 1.5 if module.training else out)
    assert "training mode differs from evaluation mode by" in str(found(made))


def test_numbers_that_are_none_differ() -> None:
    assert "by inf nats" in str(refusal(Differences(float("inf"), 0, 0, 0), "float32"))
    assert "by nan nats" in str(refusal(Differences(float("nan"), 0, 0, 0), "float32"))


def test_shared_rows_are_named() -> None:
    assert "in a row that 4 ranks share differs by 1" in str(refusal(Differences(1, 0, 0, 0), "bfloat16", ranks=4))


def test_rounding_of_bfloat16_is_none_of_these() -> None:
    smollm2 = Differences(alone=0.085, packed=0.085, leak=0, train=0)  # as measured on CPU
    assert refusal(smollm2, "bfloat16") is None
    assert refusal(smollm2, "float32") is not None


def test_dropout_is_0_in_modules_and_configuration_and_nothing_else_is() -> None:
    model = hf.AutoModelForCausalLM.from_config(small(hf.OPTConfig, ffn_dim=48, layerdrop=0.5, word_embed_proj_dim=32))
    without_noise(model)
    assert (model.config.dropout, model.config.layerdrop, model.config.init_std) == (0, 0, 0.02)


# ---- with ranks ------------------------------------------------------------------------------------------------------


def start_with_another_head(rank: int, world_size: int, port: int, *, settings: Any, folder: Path) -> str:
    """An engine whose rank 1 alone scales logits: what it says."""
    from reprise.learner.engine import Engine

    usual = Policy.__init__

    def scaled(self: Policy, *arguments: Any, **keywords: Any) -> None:
        usual(self, *arguments, **keywords)
        self._logits = Logits(scale=2.0 if rank == 1 else 1.0)

    Policy.__init__ = scaled  # type: ignore[method-assign]
    try:
        Engine(settings, folder, "float32", 1.0, rank, world_size, "127.0.0.1", port, seed=0)
    except UserError as error:
        return str(error)
    finally:
        Policy.__init__ = usual  # type: ignore[method-assign]
    return "started"


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.parametrize(("degree", "stage"), [(1, 1), (2, 3)])
def test_all_ranks_refuse_what_one_of_them_sees(
    pools: dict[int, RankPool], folder: Path, degree: int, stage: int
) -> None:
    settings = batches.settings(world_size=2, sequence_parallel=degree, zero_stage=stage)
    one, other = pools[2].run(start_with_another_head, settings=settings, folder=folder)
    assert one == other
    where = "by itself" if degree == 1 else "in a row that 2 ranks share"
    assert one.startswith(f"policy {folder}: model type qwen3 cannot be trained: its log-probabilities in the learner")
    assert f"a document {where} differs by" in one


def fine_tune(rank: int, world_size: int, port: int, *, settings: Any, folder: Path, to: Path) -> tuple[float, float]:
    """The loss that SFT reports before and after six steps on a document, the second being that of the export."""
    from reprise.learner.engine import Engine
    from reprise.learner.sft import sft_step

    engine = Engine(settings, folder, "float32", 1.0, rank, world_size, "127.0.0.1", port, seed=0)
    tokens = np.random.default_rng(0).integers(0, 64, 30).astype(np.int32)
    document = Document(tokens, np.arange(1, 30))
    losses = [sft_step(engine, [document], 0.01)[0] for _ in range(6)]
    engine.policy.model.save_pretrained(to)
    reported = -float(engine.document_logprobs([document])[0].mean())
    engine.close()
    model = hf.AutoModelForCausalLM.from_pretrained(to)
    (own,) = self_check.own_logprobs(model.eval(), [document], CPU)
    assert reported < losses[0] - 0.5
    return reported, -float(own.detach().mean())


@pytest.mark.engines
@pytest.mark.slow
def test_the_loss_of_fine_tuning_a_granite_is_that_of_the_model_it_exports(
    pools: dict[int, RankPool], tmp_path: Path
) -> None:
    folder = saved(tmp_path / "granite", SCALED["granite"])
    settings = batches.settings(optimizer="adamw")
    ((reported, own),) = pools[1].run(fine_tune, settings=settings, folder=folder, to=tmp_path / "tuned")
    assert reported == pytest.approx(own, abs=1e-5)
