"""Every family of causal language models that transformers carries: built tiny, measured, told in docs/models.md.

`python tests/learner/families.py` writes the table there; tests/learner/test_families.py holds it against the code.
"""

from __future__ import annotations

import re
import signal
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from reprise.core.errors import UserError
from reprise.learner import attention, self_check
from reprise.learner.logits import logits_of
from reprise.learner.packing import Document
from reprise.learner.policy import Policy, load_model
from reprise.models.architecture import check_architecture, reach

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
_SECONDS = 60  # for one family

FAMILIES: tuple[str, ...] = tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))

# Sizes by the names that configurations give them.
_SIZES: dict[int, str] = {
    64: "vocab_size n_vocab vocab_size_per_layer_input hidden_size n_embd d_model embedding_size emb_dim dim_model "
    "word_embed_proj_dim attention_hidden_size hidden_size_per_layer_input input_embedding_size output_embedding_size",
    2: "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_decoder_layers "
    "num_key_value_heads num_kv_heads num_experts_per_tok moe_topk moe_k mamba_n_groups n_groups",
    4: "num_attention_heads n_head n_heads decoder_attention_heads encoder_attention_heads num_decoder_attention_heads "
    "num_heads num_experts num_local_experts n_routed_experts moe_num_experts index_n_heads",
    16: "head_dim dim_head qk_nope_head_dim v_head_dim kv_lora_rank q_lora_rank o_lora_rank index_head_dim "
    "mamba_d_head mamba_head_dim mamba_d_state ssm_state_size state_size",
    8: "qk_rope_head_dim rotary_dim mamba_n_heads mamba_num_heads index_topk",
    48: "intermediate_size n_inner ffn_dim dff dim_ff decoder_ffn_dim encoder_ffn_dim ffn_hidden_size "
    "intermediate_size_mlp shared_intermediate_size moe_shared_expert_intermediate_size "
    "shared_expert_intermediate_size expert_ffn_hidden_size moe_intermediate_size d_inner",
    128: "max_position_embeddings n_positions n_ctx max_seq_len context_length mamba_d_ssm",
    1: "n_group topk_group n_shared_experts moe_num_shared_experts num_shared_experts first_k_dense_replace "
    "num_dense_layers",
    12: "sliding_window attention_chunk_size sliding_window_size attention_window_size window_size",
}
_SIZE_OF = {name: size for size, names in _SIZES.items() for name in names.split()}

# What a family needs beside that; and values that make its peculiarity act, where the defaults leave it off.
_ALSO: dict[str, dict[str, Any]] = {
    "axk2": {"layer_types": ["indexed_attention"] * 2},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.0, 0.0],
        "num_kv_shared_layers": 0,
        "laurel_rank": 8,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granite": {"logits_scaling": 0.25},
    "granitemoe": {"logits_scaling": 0.25},
    "granitemoeshared": {"logits_scaling": 0.25},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "hyperclovax": {"logits_scaling": 4.0},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "ministral": {"head_dim": 16},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "xmod": {"default_language": "en_XX"},
}
# Configurations inside which mean that a model is more than a language model of tokens.
_PARTS = ("text_config", "vision_config", "decoder", "text_encoder", "patcher_config", "audio_config")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out for a family: exact, refused or not built; and under which conditions, or why."""

    family: str
    verdict: str
    why: str


def survey(family: str) -> Outcome:
    """Hold the family against the checks before a start, and, built tiny, against those when the learner starts."""
    also = _ALSO.get(family, {})
    layers: dict[str, Any] = {"num_hidden_layers": len(also["layer_types"])} if "layer_types" in also else {}
    with suppress(Exception):  # some defaults are no configuration: what is tiny may be one
        if refused := _refusal(lambda: check_architecture(CONFIG_MAPPING[family](**also, **layers))):
            return Outcome(family, "refused", f"before the start: {refused}")
    if any(part in CONFIG_MAPPING[family].sub_configs for part in _PARTS):
        return Outcome(family, "not built", "takes more than tokens")
    try:
        with _at_most(_SECONDS):
            config = tiny_config(family)
            own_logprobs(built(config))
    except Exception as error:  # noqa: BLE001  whatever a family's code does with a tiny configuration
        return Outcome(family, "not built", f"tiny it fails: {_line(error)}")
    try:
        with _at_most(_SECONDS):
            reason = self_check.refusal(measured(config), "float32")
    except Exception as error:  # noqa: BLE001  as the self-check does
        reason = str(error) if isinstance(error, UserError) else _line(error)
    if reason is not None:
        return Outcome(family, "refused", f"when the learner starts: {_told(reason)}")
    return Outcome(family, "exact", ", ".join(_with(config)))


def tiny_config(family: str) -> Any:
    """The family's default configuration in small: 2 layers, 64 wide, 64 words."""
    kind = CONFIG_MAPPING[family]
    chosen: dict[str, Any] = {}
    for name, value in kind().to_dict().items():
        if name in _SIZE_OF and value is not None and not isinstance(value, bool | list | dict):
            chosen[name] = _SIZE_OF[name]
        elif name.endswith("_token_id") and isinstance(value, list | int) and not isinstance(value, bool):
            chosen[name] = 3
        elif name == "is_decoder":
            chosen[name] = True
    if "qk_rope_head_dim" in chosen:  # latent attention: every head has keys, and `head_dim` is the rotary part
        chosen |= {"head_dim": chosen["qk_rope_head_dim"], "num_key_value_heads": chosen["num_attention_heads"]}
    return kind(**{**chosen, **_ALSO.get(family, {})})


def built(config: Any) -> Any:
    """A model of random weights, so large that everything in it shows, as its authors wrote it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model


def measured(config: Any) -> self_check.Differences:
    """What the self-check finds of the model in a folder; and as loaded it computes what it did before."""
    with TemporaryDirectory() as folder:
        model = built(config)
        model.save_pretrained(folder)
        loaded = load_model(folder, "float32")
    torch.testing.assert_close(own_logprobs(loaded.eval()), own_logprobs(model))
    policy = Policy(loaded, 1.0, attention.Whole(attention.sdpa))
    return self_check.differences(policy, policy, torch.device("cpu"))


def own_logprobs(model: Any) -> torch.Tensor:
    document = Document(np.arange(4, 16, dtype=np.int32), np.arange(1, 12))
    with torch.no_grad():
        return self_check.own_logprobs(model, [document], torch.device("cpu"))[0]


def table(outcomes: Sequence[Outcome]) -> str:
    """What docs/models.md says between the marks: families by what came out."""
    counts = {verdict: sum(o.verdict == verdict for o in outcomes) for verdict in ("exact", "refused", "not built")}
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    rows = []
    for verdict in counts:
        alike = [o for o in outcomes if o.verdict == verdict]
        for why in sorted({o.why for o in alike}):
            rows.append(f"| {verdict} | {why} | {', '.join(f'`{o.family}`' for o in alike if o.why == why)} |")
    head = f"transformers {transformers.__version__}, {len(outcomes)} families: {counted}."
    return "\n".join([head, "", "| | which, or why | families |", "|---|---|---|", *rows])


def told() -> str:
    """What docs/models.md says between the marks."""
    return PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip()


def told_of_families() -> dict[str, Outcome]:
    """The same, by family."""
    rows = [[cell.strip() for cell in line.split(" | ")] for line in told().splitlines()[4:]]
    return {
        name: Outcome(name, verdict.removeprefix("| "), why)
        for verdict, why, families in rows
        for name in re.findall(r"`([^`]+)`", families)
    }


def _refusal(check: Callable[[], None]) -> str | None:
    try:
        check()
    except UserError as error:
        return _told(str(error))
    return None


def _with(config: Any) -> Iterator[str]:
    logits, limit = logits_of(config), reach(config)
    if logits.scale != 1:
        yield "logits are scaled"
    if logits.cap is not None:
        yield "logits are capped"
    if limit is not None:
        yield f"documents of up to `{limit.key}` tokens"


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return textwrap.shorten(f"{type(error).__name__}: {text}", 100, placeholder=" …").replace("|", "\\|")


def _told(reason: str) -> str:
    """The reason without what stands around it; without figures too, since machines round otherwise."""
    for around in (r"^model type \S+: ", r"^policy folder \S+: ", r" of model type \S+", r"; docs/models\.md .*$",
                   r" by \S+ nats a token, of which rounding explains \S+"):  # fmt: skip
        reason = re.sub(around, "", reason)
    return reason


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def end(*_: Any) -> None:
        raise TimeoutError(f"{seconds} s are over")

    former = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def main() -> None:
    """Write the table into docs/models.md."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table([survey(f) for f in FAMILIES])}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
