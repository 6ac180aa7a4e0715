"""Memory against recompute time: `python bench/checkpointing.py` prints one table, about two minutes on one core.

One forward and backward pass of a stack of Qwen3 layers under each policy of learner.checkpointing. With a GPU it
measures there, layers 4,096 wide at 8,192 tokens. README.md beside this file says what each column means.
"""

from __future__ import annotations

import os

# Before torch is imported: one thread, whose CPU time does not depend on what else the machine does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rows import machine
from transformers import AutoModelForCausalLM, Qwen3Config

from reprise.learner import activation_checkpointing as checkpointing
from reprise.learner import attention
from reprise.learner.activation_checkpointing import offload
from reprise.learner.activation_checkpointing.live_bytes import LiveBytes
from reprise.learner.rows import RowLayout
from reprise.learner.settings import CheckpointingSettings

TILES = 8
_POLICIES = ("none", "norms", "mlp", "attention", "block")
CURVE = (
    *(CheckpointingSettings(policy=policy) for policy in _POLICIES),
    *(CheckpointingSettings(policy=policy, mlp_tiles=TILES) for policy in ("none", "block")),
    *(CheckpointingSettings(policy=policy, offload=True) for policy in ("attention", "block")),
    CheckpointingSettings(policy="block", offload=True, mlp_tiles=TILES),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A stack of layers and the row it is given: one document of `tokens` tokens."""

    device: str
    dtype: str
    layers: int
    width: int
    mlp: int
    heads: int
    key_value_heads: int
    head_dim: int
    tokens: int
    passes: int  # timed, after one that is not if on a GPU


ON_CPU = Shape("cpu", "float32", 4, 1024, 3584, 16, 4, 64, 1536, 1)
ON_GPU = Shape("cuda", "bfloat16", 4, 4096, 14_336, 32, 8, 128, 8192, 3)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one pass.

    kept     bytes that one layer more keeps for the backward pass, on the device
    host     in host memory
    peak     bytes above model, gradients and input
    seconds  forward and backward; CPU time if on a CPU
    """

    kept: float
    host: float
    peak: int
    seconds: float


def main() -> None:
    arguments = _parser().parse_args()
    shape = ON_GPU if torch.cuda.is_available() else ON_CPU
    if arguments.quick:
        shape = replace(shape, layers=3, width=256, mlp=896, heads=4, key_value_heads=2, tokens=512)
    # What is compared with is measured before and after the others, in case the machine's speed drifts.
    order = (*CURVE, CURVE[0])
    measured = []
    with Console(stderr=True).status("starting") as status:
        _measured(replace(shape, layers=2), CURVE[0])  # thread pools, libraries' workspaces
        for settings in order:
            status.update(f"measuring {settings.policy}, offload {settings.offload}, {settings.mlp_tiles} tiles")
            measured.append(_measured(shape, settings))
    plain = (measured[0].seconds + measured.pop().seconds) / 2
    measured[0] = replace(measured[0], seconds=plain)
    here = f"{torch.cuda.get_device_name()}, {machine()}" if shape.device == "cuda" else machine()
    Console(width=max(Console().width, 120)).print(_table(shape, measured, here))
    if arguments.json is not None:
        rows = [s.model_dump() | asdict(c) for s, c in zip(CURVE, measured)]
        report = {"machine": here, "shape": asdict(shape), "rows": rows}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _table(shape: Shape, measured: list[Cost], here: str) -> Table:
    title = (
        f"Activation checkpointing: {shape.layers} layers {shape.width:,} wide (MLP {shape.mlp:,}), "
        f"{shape.tokens:,} tokens, {shape.dtype}, on {here}"
    )
    shown = Table(title=title, title_justify="left", title_style="bold")
    shown.add_column("policy")
    for column in ("offload", "mlp tiles", "kept, kB/token/layer", "on host", "of none", "peak, MB", "time, of none"):
        shown.add_column(column, justify="right")
    each = shape.tokens * 1e3
    for settings, cost in zip(CURVE, measured):
        shown.add_row(
            settings.policy,
            "yes" if settings.offload else "",
            str(settings.mlp_tiles) if settings.mlp_tiles > 1 else "",
            f"{cost.kept / each:.1f}",
            f"{cost.host / each:.1f}" if cost.host else "",
            f"{cost.kept / measured[0].kept:.2f}",
            f"{cost.peak / 1e6:,.0f}",
            f"{cost.seconds / measured[0].seconds:.2f}",
        )
    return shown


# ---- measuring -------------------------------------------------------------------------------------------------------


def _measured(shape: Shape, settings: CheckpointingSettings) -> Cost:
    """One pass that measures memory and, on a GPU, `passes` more that measure time; on a CPU all at once."""
    device = torch.device(shape.device)
    torch.manual_seed(0)
    layers: Any = _layers(shape, settings).to(device)
    hidden = torch.randn(1, shape.tokens, shape.width, device=device, dtype=getattr(torch, shape.dtype))
    row = RowLayout([shape.tokens], device)
    kernel = attention.flash_attention_2 if device.type == "cuda" and find_spec("flash_attn") else attention.sdpa
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    given = {"position_ids": torch.arange(shape.tokens, device=device)[None], "row": row,
             "over": attention.Whole(kernel), "use_cache": False}  # fmt: skip
    for parameter in layers.parameters():
        parameter.grad = torch.zeros_like(parameter)
    costs = []
    for _ in range(shape.passes + (device.type == "cuda")):
        inputs = hidden.clone().requires_grad_()
        _synchronize(device)
        with _Memory(device) as memory:
            # Seen where the second layer and the norm behind the last begin: one hidden state is on its way each time.
            seen: list[tuple[int, int]] = []

            def see(*_: Any, memory: _Memory = memory, seen: list[tuple[int, int]] = seen) -> None:
                seen.append((memory.now(), offload.bytes_on_host()))

            hooks = [module.register_forward_pre_hook(see) for module in (layers.layers[1], layers.norm)]
            started = clock()
            out = layers(inputs_embeds=inputs, **given).last_hidden_state
            for hook in hooks:
                hook.remove()
            out.backward(torch.ones_like(out))
            _synchronize(device)
            seconds = clock() - started
            kept, host = ((late - early) / (shape.layers - 1) for early, late in zip(seen[0], seen[-1]))
            costs.append(Cost(kept, host, memory.peak(), seconds))
        del out, inputs
    return replace(costs[-1], seconds=median(c.seconds for c in costs[-shape.passes :]))


def _layers(shape: Shape, settings: CheckpointingSettings) -> torch.nn.Module:
    config = Qwen3Config(
        vocab_size=8,
        hidden_size=shape.width,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_dim,
    )
    model = AutoModelForCausalLM.from_config(
        config, attn_implementation=attention.NAME, dtype=getattr(torch, shape.dtype)
    )
    checkpointing.apply(model, settings)
    return model.base_model  # type: ignore[no-any-return]


class _Memory:
    """Bytes above those at the start: torch's allocator on a GPU, living tensors on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._live = LiveBytes() if device.type == "cpu" else None
        self._before = 0

    def __enter__(self) -> _Memory:
        if self._live is not None:
            self._live.__enter__()
        else:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.__exit__(*error)

    def now(self) -> int:
        return self._live.live if self._live is not None else torch.cuda.memory_allocated() - self._before

    def peak(self) -> int:
        return self._live.peak if self._live is not None else torch.cuda.max_memory_allocated() - self._before


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works, not to compare")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers behind the table here")
    return parser


if __name__ == "__main__":
    main()
