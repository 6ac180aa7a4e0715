"""Muon over ZeRO's partitions: momentum of a matrix, orthogonalised, is its update; AdamW for everything else.

    m ← β·m + (1−β)·g        u = orth(β·m + (1−β)·g)        W ← (1 − lr·wd)·W − lr·0.2·√max(rows, columns)·u

orth: five steps of Newton-Schulz with the quintic of Jordan et al. (2024), which bring the singular values near 1.
The factor (Liu et al., "Muon is scalable for LLM training", 2025) gives updates the root mean square that AdamW's have,
so one learning rate serves both and a rate tuned for AdamW is a fair start.

DeepSpeed 0.19.8 has a Muon of its own, which clips the norm of the orthogonalised update instead of the gradient's, so
that grad_clip sets the step size; here the gradient is clipped, and a step skipped, before the optimiser sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from reprise.learner.checkpoints.layout import Fragment, flat_groups, parameter_shapes

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5
_RMS_OF_ADAMW = 0.2


def orthogonalised(matrix: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[r, c] with the singular vectors of `matrix` and singular values near 1, computed in `dtype`."""
    tall = matrix.shape[0] > matrix.shape[1]
    x: torch.Tensor = (matrix.T if tall else matrix).to(dtype)
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.T if tall else x


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix that lies in a flat tensor: its shape, and the fragment that each rank holds of it, None for none."""

    shape: tuple[int, int]
    held: list[Fragment | None]

    def parts(self) -> list[int]:
        return [f.numel if f else 0 for f in self.held]


class Muon(torch.optim.Optimizer):
    """For a DeepSpeed engine under any ZeRO stage, once it has been `attach`ed to it.

    Groups with `muon` true hold matrices; the others' keys are torch's AdamW's. A matrix that ranks share is brought
    together on one of them, matrices taking turns, and every part of the update goes back to where it belongs: two
    all-to-alls for as many matrices as there are ranks.

    device    where matrices are multiplied, and what collectives want: that of the accelerator
    """

    def __init__(
        self,
        groups: list[dict[str, object]],
        lr: float,
        momentum: float,
        device: torch.device,
        *,
        betas: tuple[float, float],
        eps: float,
        fused: bool | None,
    ) -> None:
        others = [g for g in groups if not g["muon"]] or [{"params": [torch.zeros(1)]}]
        self._adamw = torch.optim.AdamW(others, lr, betas, eps, fused=fused)  # shares its groups with this optimiser
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})
        self._device = device
        self._dtype = torch.bfloat16 if device.type == "cuda" else torch.float32  # bf16 is emulated on most CPUs
        self._matrices: dict[int, list[_Matrix]] | None = None

    def attach(self, ds_engine: DeepSpeedEngine) -> None:
        """Learn where the matrices lie on all ranks (collective)."""
        self._rank, self._world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        groups = flat_groups(ds_engine)
        mine = [{f.name: f for f in group.fragments} for group in groups]
        everyone: list[list[dict[str, Fragment]]] = [[]] * self._world_size
        torch.distributed.all_gather_object(everyone, mine)
        shapes = parameter_shapes(ds_engine)
        self._matrices = {}
        for i, group in enumerate(groups):
            names = {name for rank in everyone for name in rank[i] if len(shapes[name]) == 2}
            # Of like size first, so that the ranks have alike to do at every turn.
            names_in_turn = sorted(names, key=lambda n: (-shapes[n][0] * shapes[n][1], n))
            self._matrices[id(group.fp32)] = [
                _Matrix((shapes[n][0], shapes[n][1]), [rank[i].get(n) for rank in everyone]) for n in names_in_turn
            ]

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        if self._matrices is None:
            raise RuntimeError("Muon does not know where matrices lie: attach it to the engine")
        for group in self.param_groups:
            if group["muon"]:
                for flat in group["params"]:
                    self._step(flat, group["lr"], group["momentum"], group["weight_decay"])
        self._adamw.param_groups = [g for g in self.param_groups if not g["muon"]]
        self._adamw.state = self.state
        self._adamw.step()

    def _step(self, flat: torch.Tensor, lr: float, beta: float, weight_decay: float) -> None:
        assert self._matrices is not None
        state = self.state[flat]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(flat)
        gradient = flat.grad if flat.grad is not None else torch.zeros_like(flat)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - beta)
        ahead = gradient.lerp(momentum, beta)
        flat.mul_(1 - lr * weight_decay)
        matrices = self._matrices[id(flat)]
        for k in range(0, len(matrices), self._world_size):
            turn = matrices[k : k + self._world_size]
            for fragment, update in self._updates(turn, ahead):
                held = flat.narrow(0, fragment.offset, fragment.numel)
                held.add_(update.to(flat.device, flat.dtype), alpha=-lr)

    def _updates(self, turn: Sequence[_Matrix], ahead: torch.Tensor) -> list[tuple[Fragment, torch.Tensor]]:
        """This rank's fragments of up to `world_size` matrices, with their part of the update; matrix k is rank k's."""
        mine = [m.held[self._rank] for m in turn]
        fragments = [f for f in mine if f]
        given = [ahead.narrow(0, f.offset, f.numel) for f in fragments]
        sizes = [f.numel if f else 0 for f in mine] + [0] * (self._world_size - len(turn))
        own = turn[self._rank] if self._rank < len(turn) else None
        parts = own.parts() if own else [0] * self._world_size
        received = self._exchange(torch.cat(given) if given else ahead[:0], sizes, parts)
        if own:
            received = self._update(own, received)
        returned = self._exchange(received, parts, sizes)
        return list(zip(fragments, returned.split([f.numel for f in fragments])))

    def _update(self, matrix: _Matrix, parts: torch.Tensor) -> torch.Tensor:
        """From the ranks' parts of a matrix one after the other to those of its update."""
        held = [f for f in matrix.held if f]
        whole = torch.empty(matrix.shape[0] * matrix.shape[1], device=parts.device, dtype=parts.dtype)
        for fragment, part in zip(held, parts.split([f.numel for f in held])):
            whole[fragment.start : fragment.start + fragment.numel] = part
        update = orthogonalised(whole.view(matrix.shape), self._dtype).to(parts.dtype).reshape(-1)
        update = update * (_RMS_OF_ADAMW * max(matrix.shape) ** 0.5)
        return torch.cat([update[f.start : f.start + f.numel] for f in held])

    def _exchange(self, given: torch.Tensor, sizes: list[int], parts: list[int]) -> torch.Tensor:
        given = given.to(self._device)
        if self._world_size == 1:
            return given
        received = torch.empty(sum(parts), device=self._device, dtype=given.dtype)
        torch.distributed.all_to_all_single(received, given.contiguous(), parts, sizes)
        return received
