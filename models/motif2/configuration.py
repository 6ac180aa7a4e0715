"""Motif-2's shapes under the published keys, what the architecture demands of them, and presets.

Keys and meaning: MotifTechnologies/vllm, `vllm/model_executor/models/motif.py` (2025-11), which reads the published
config.json; the family's `MotifConfig` there has the model type "Motif". Grouped differential attention: arXiv
2510.06949.
"""

from __future__ import annotations

import math
from typing import Any

from transformers import PretrainedConfig


class ConfigurationError(ValueError):
    """A configuration that is not Motif-2's or contradicts itself. The message names its keys and what would be right.

    Not reprise's own error: this file is loaded where reprise is not installed (see modeling.py).
    """


class Motif2Config(PretrainedConfig):
    """Configuration of Motif-2; the defaults are the 12.7B policy's.

    The query heads form `num_noise_heads` groups, each of some signal heads and then one noise head; key and value
    heads come in pairs, one pair a group. `rope_theta` and `rope_scaling`, as older files have them, become
    `rope_parameters`; YaRN is `{"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": ...}` there.
    Raises ConfigurationError for a relative of Motif-2 (Motif-2.6B, Motif-3), for heads that form no groups, for a size
    that is no number and for rotary embeddings other than plain and YaRN.
    """

    model_type = "Motif"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012  (transformers reads it from the class)
    default_theta = 1_000_000.0

    vocab_size: int = 219_520
    hidden_size: int = 4096
    intermediate_size: int = 16_384
    num_hidden_layers: int = 40
    num_attention_heads: int = 40
    num_key_value_heads: int = 16
    num_noise_heads: int | None = 8
    head_dim: int = 128
    k_ratio: int = 1
    hidden_act: str = "poly_norm"
    max_position_embeddings: int = 65_536
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    attn_rms_norm_eps: float = 1e-5
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_dropout: float = 0.0
    use_bias: bool = False
    use_sliding_window: bool = False
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs: object) -> None:
        if self.rope_parameters is not None:
            self.rope_parameters = dict(self.rope_parameters)  # it is completed in place, and may be a preset's
        base = kwargs.pop("original_max_position_embeddings", None)
        if base is not None:  # beside rope_scaling, as MotifTechnologies/vllm reads it too
            for rope in (self.rope_parameters, kwargs.get("rope_scaling")):
                if isinstance(rope, dict) and "yarn" in (rope.get("rope_type"), rope.get("type")):
                    rope.setdefault("original_max_position_embeddings", base)
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        self._check_family(kwargs)
        self._check_sizes()
        self._check_heads()
        self._check_rope()

    @property
    def signal_heads(self) -> int:
        """Signal heads of one group (4 in the 12.7B policy)."""
        return self.num_attention_heads // self._groups - 1

    @property
    def ulysses_heads(self) -> dict[str, int]:
        """The heads as the attention interface sees them, padded, and the groups that no degree may split."""
        return {
            "query": self.num_attention_heads,
            "key_value": self.num_key_value_heads // 2,
            "head_dim": 2 * self.head_dim,
            "groups": self._groups,
        }

    @property
    def max_context(self) -> int:
        """Tokens that the rotary embedding covers: `max_position_embeddings`, or what YaRN stretches its base to."""
        rope = self.rope_parameters or {}
        if rope.get("rope_type") != "yarn":
            return self.max_position_embeddings
        return max(self.max_position_embeddings, int(rope["original_max_position_embeddings"] * rope["factor"]))

    def check_context(self, tokens: int) -> None:
        """Raises ConfigurationError if `tokens` reach beyond the rotary embedding's range; it names what would stretch
        that."""
        if tokens > self.max_context:
            base = (self.rope_parameters or {}).get("original_max_position_embeddings", self.max_position_embeddings)
            raise ConfigurationError(
                f"{tokens} tokens of context are more than the {self.max_context} of this Motif-2 configuration: set "
                f"rope_parameters to {{rope_type: yarn, factor: {math.ceil(tokens / base)}.0, "
                f"original_max_position_embeddings: {base}}}, or ask for fewer tokens"
            )

    @property
    def _groups(self) -> int:
        return int(self.num_noise_heads or 0)

    def _check_family(self, unknown: dict[str, object]) -> None:
        wanted: dict[str, object] = {
            "hidden_act": "poly_norm",
            "k_ratio": 1,
            "use_bias": False,
            "use_sliding_window": False,
        }
        other = {key: getattr(self, key) for key, value in wanted.items() if getattr(self, key) != value}
        # Keys of Motif-3's low-rank attention and experts: read as Motif-2, its weights would fit nowhere.
        newer = ("num_experts", "q_lora_rank", "kv_lora_rank", "mhc_enabled", "diff_v2", "elementwise_attn_output_gate")
        other |= {key: unknown[key] for key in newer if unknown.get(key)}
        if self.num_noise_heads is None or self.num_noise_heads == 0:
            other["num_noise_heads"] = self.num_noise_heads
        if other:
            raise ConfigurationError(
                f"config.json: {', '.join(f'{k}={v!r}' for k, v in other.items())} is another member of the Motif "
                "family; models.motif2 is Motif-2-12.7B's architecture: poly_norm, num_noise_heads > 0, k_ratio 1, no "
                "bias, no sliding window, no experts"
            )

    def _check_sizes(self) -> None:
        sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                 "num_key_value_heads", "num_noise_heads", "head_dim", "max_position_embeddings")  # fmt: skip
        wrong = {key: value for key in sizes if type(value := getattr(self, key)) is not int or value < 1}
        if wrong:
            given = ", ".join(f"{key}={value!r}" for key, value in wrong.items())
            raise ConfigurationError(f"config.json: {given}: sizes are whole numbers of at least 1")

    def _check_heads(self) -> None:
        groups, query, key_value = self._groups, self.num_attention_heads, self.num_key_value_heads
        if query % groups or query // groups < 2 or key_value != 2 * groups or self.head_dim % 2:
            raise ConfigurationError(
                f"config.json: num_attention_heads={query}, num_key_value_heads={key_value}, head_dim={self.head_dim} "
                f"do not fit num_noise_heads={groups}: each of the {groups} groups takes at least one signal and "
                "exactly one noise query head and a pair of key-value heads, and head_dim is even"
            )

    def _check_rope(self) -> None:
        rope = self.rope_parameters or {}
        stretched = [rope.get("factor"), rope.get("original_max_position_embeddings")]
        yarn = rope.get("rope_type") == "yarn" and all(isinstance(x, int | float) and x >= 1 for x in stretched)
        if rope.get("rope_type") != "default" and not yarn:
            raise ConfigurationError(
                f"config.json: rope_parameters {rope}: Motif-2 has rope_type default, or yarn with a factor of at "
                "least 1 and original_max_position_embeddings"
            )


def lambda_init(layer: int) -> float:
    """The constant part of a layer's λ, the layer counted from 0. It is slightly negative in the first layer."""
    return 0.8 - 0.6 * math.exp(-0.3 * (layer - 1))


# Contexts of the tiny ones are short and widths small: models/tiny.py says why theta is low and init_std large there.
_SHORT = {
    "max_position_embeddings": 256,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
    "initializer_range": 0.06,
    "dtype": "float32",
}

PRESETS: dict[str, dict[str, Any]] = {
    # The demo's policy: 2 groups, 0.4M parameters.
    "tiny": {
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 10,
        "num_key_value_heads": 4,
        "num_noise_heads": 2,
        "head_dim": 16,
        **_SHORT,
    },
    # 8 groups, for tests of splitting; 0.3M parameters.
    "tiny8": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 40,
        "num_key_value_heads": 16,
        "num_noise_heads": 8,
        "head_dim": 16,
        **_SHORT,
    },
    # For benchmarks; 105M parameters beside the embeddings.
    "small": {
        "hidden_size": 640,
        "intermediate_size": 2560,
        "num_hidden_layers": 10,
        "head_dim": 64,
        "max_position_embeddings": 8192,
        "dtype": "float32",
    },
    # Motif-2-12.7B: the defaults above.
    "12p7b": {"dtype": "bfloat16"},
}
