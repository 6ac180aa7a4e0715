"""Each loss against its float64 twin, from hidden states and lm_head on, on random ragged tokens; and over ranks."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from loss_twins import full_log_softmax, twin_total
from pydantic import ValidationError

from reprise.core.errors import UserError
from reprise.learner.logprobs import selected_logprobs
from reprise.learner.losses import LossSum, PolicyLoss, PolicyTokens, normaliser, policy_loss, sft
from reprise.learner.settings import LOSSES as BUILT_IN
from reprise.learner.settings import LearnerSettings

LOSSES = sorted(BUILT_IN)
CLIPPED = ("grpo", "dr_grpo", "gspo")
TEMPERATURE, DUAL_CLIP = 0.9, 1.5
VOCABULARY, WIDTH = 37, 8


def settings(loss: str, **changed: float | None) -> LearnerSettings:
    return LearnerSettings(**{"loss": loss, "importance_cap": 1.3, "clip_low": 0.2, "clip_high": 0.28, **changed})


@pytest.mark.parametrize("loss", LOSSES)
def test_every_built_in_loss_is_there(loss: str) -> None:
    assert isinstance(policy_loss(settings(loss).loss), PolicyLoss)


def test_a_loss_may_be_a_file_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from reprise.learner.losses import PolicyLoss\n"
        "from reprise.learner.losses.grpo import grpo\n"
        "LOSS, NOT = PolicyLoss(grpo, 'sequences'), grpo\n"
    )
    assert policy_loss(settings(f"{tmp_path}/mine.py:LOSS").loss).normaliser == "sequences"
    with pytest.raises(UserError, match=r"learner.loss: .*mine.py:NOT is a function, not a .*PolicyLoss"):
        policy_loss(f"{tmp_path}/mine.py:NOT")


def test_a_loss_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValidationError, match=r"loss 'grop': did you mean 'grpo'\? valid: grpo, dr_grpo, gspo, cispo"):
        settings("grop")


# ---- against the twins -----------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """Hidden states of R positions in a row, of which those of `kept` predict a trained token; all float32."""

    hidden: torch.Tensor
    head: torch.Tensor
    kept: torch.Tensor
    targets: torch.Tensor
    owner: torch.Tensor
    lengths: torch.Tensor
    proximal: torch.Tensor
    behaviour: torch.Tensor
    reference: torch.Tensor
    advantages: torch.Tensor  # float32[B]

    def tokens(self, logprobs: torch.Tensor, with_reference: bool) -> PolicyTokens:
        return PolicyTokens(
            logprobs,
            self.proximal,
            self.behaviour,
            self.advantages[self.owner],
            self.owner,
            self.lengths,
            self.reference if with_reference else None,
        )

    def by_trajectory(self, values: torch.Tensor) -> list[torch.Tensor]:
        return [values[self.owner == i].double() for i in range(len(self.lengths))]


def batch_of(seed: int, positions: list[int]) -> Batch:
    """Trajectories of so many positions each, about a third of which are not trained on. No ratio lies at a bound."""
    g = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g)

    owners = torch.arange(len(positions)).repeat_interleave(torch.tensor(positions))
    trained = torch.rand(len(owners), generator=g) < 0.7
    trained[torch.tensor(positions).cumsum(0) - 1] = True  # no trajectory without a token
    kept = trained.nonzero()[:, 0]
    owner, count, size = owners[kept], len(kept), len(positions)
    hidden, head = noise(len(owners), WIDTH), 0.3 * noise(VOCABULARY, WIDTH)
    targets = torch.randint(0, VOCABULARY, (count,), generator=g)
    log_pi = full_log_softmax(hidden[kept].double(), head.double(), TEMPERATURE).gather(1, targets[:, None])[:, 0]
    proximal = (log_pi - 0.3 * noise(count) - 0.2 * noise(size)[owner]).float()
    behaviour = proximal - 0.3 * noise(count) - 0.2 * noise(size)[owner]
    reference = (log_pi + 0.3 * noise(count)).float()
    advantages = noise(size).sign() * (0.5 + noise(size).abs())
    lengths = torch.bincount(owner, minlength=size).float()
    made = Batch(hidden, head, kept, targets, owner, lengths, proximal, behaviour, reference, advantages)
    for log_ratio, bounds in (
        (log_pi - proximal, (0.8, 1.28, DUAL_CLIP)),
        (proximal.double() - behaviour, (1.3,)),
        (log_pi - behaviour, (1.3,)),
    ):
        means = torch.stack([each.mean() for each in made.by_trajectory(log_ratio)])
        for bound in bounds:
            assume((torch.cat([log_ratio, means]) - math.log(bound)).abs().min().item() > 1e-4)
    return made


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, terms: torch.Tensor) -> None:
    """Relative 1e-5; where the terms cancel to less than a tenth of their size, relative to that tenth."""
    size = max(theirs.norm().item(), 0.1 * terms.sum().item())
    assert (ours.double() - theirs).norm().item() <= 1e-5 * size


@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
@pytest.mark.parametrize("loss", LOSSES)
@hypothesis_settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31), positions=st.lists(st.integers(1, 14), min_size=1, max_size=7), has_dual=st.booleans()
)
def test_value_gradients_and_counts_equal_the_twin_s(
    loss: str, kl_coef: float, seed: int, positions: list[int], has_dual: bool
) -> None:
    dual_clip = DUAL_CLIP if has_dual and loss in CLIPPED else None
    batch, chosen = batch_of(seed, positions), settings(loss, kl_coef=kl_coef, dual_clip=dual_clip)
    hidden, head = batch.hidden.clone().requires_grad_(), batch.head.clone().requires_grad_()
    logprobs = selected_logprobs(hidden[batch.kept], head, batch.targets, TEMPERATURE)
    ours = policy_loss(loss).compute(batch.tokens(logprobs, with_reference=kl_coef > 0), chosen)
    ours.total.backward()

    exact_hidden, exact_head = batch.hidden.double().requires_grad_(), batch.head.double().requires_grad_()
    log_all = full_log_softmax(exact_hidden[batch.kept], exact_head, TEMPERATURE)
    total, counts = twin_total(
        loss,
        chosen,
        batch.by_trajectory(log_all.gather(1, batch.targets[:, None])[:, 0]),
        batch.by_trajectory(batch.proximal),
        batch.by_trajectory(batch.behaviour),
        batch.advantages.tolist(),
        batch.by_trajectory(batch.reference) if kl_coef else None,
    )
    total.backward()

    terms = batch.advantages.abs()[batch.owner]
    if loss == "gspo":
        terms = terms / batch.lengths[batch.owner]
    assert_close(ours.total.detach(), total.detach(), terms * batch.proximal.abs() if loss == "cispo" else terms)
    for got, wanted in ((hidden.grad, exact_hidden.grad), (head.grad, exact_head.grad)):
        assert got is not None
        assert wanted is not None
        assert_close(got, wanted, terms)
    for name in ("clip_low", "clip_high", "is_truncated"):
        assert getattr(ours, name).item() == counts[name], name
    assert (ours.clip_dual.item() if ours.clip_dual is not None else 0) == counts["clip_dual"]
    assert ours.ratio.max().item() == pytest.approx(counts["ratio_max"], rel=1e-5)
    assert not ours.ratio.requires_grad
    if kl_coef:
        assert ours.kl is not None
        assert ours.kl.item() == pytest.approx(counts["kl"], rel=1e-4, abs=1e-5)
    else:
        assert ours.kl is None


def test_sft_is_the_summed_negative_log_likelihood() -> None:
    assert sft(torch.tensor([-1.0, -2.5])).item() == 3.5


# ---- over ranks ------------------------------------------------------------------------------------------------------


def share(tokens: PolicyTokens, mine: torch.Tensor, across: Callable[[torch.Tensor], torch.Tensor]) -> PolicyTokens:
    per_token = ("logprobs", "proximal", "behaviour", "advantages", "trajectories", "reference")
    return replace(tokens, **{name: getattr(tokens, name)[mine] for name in per_token}, across=across)


def on_two_ranks(loss: str, tokens: PolicyTokens, is_second: torch.Tensor, chosen: LearnerSettings) -> list[LossSum]:
    """Both shares in one graph, a thread each, so that `across` waits for the other rank as a collective does."""
    barrier = threading.Barrier(2)
    slots: list[list[torch.Tensor]] = [[], []]

    def rank(r: int) -> LossSum:
        def across(values: torch.Tensor) -> torch.Tensor:
            slots[r].append(values)
            barrier.wait(timeout=30)
            return slots[0][len(slots[r]) - 1] + slots[1][len(slots[r]) - 1]

        return policy_loss(loss).compute(share(tokens, is_second if r else ~is_second, across), chosen)

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(rank, range(2)))


@pytest.mark.parametrize("loss", LOSSES)
@hypothesis_settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    positions=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    part=st.sampled_from([0.0, 0.3, 0.5]),
)
def test_tokens_split_over_two_ranks_give_the_same_loss_and_gradient(
    loss: str, seed: int, positions: list[int], part: float
) -> None:
    """In float64, so that equal means exact; a part of zero leaves one rank without tokens."""
    batch, chosen = batch_of(seed, positions), settings(loss, kl_coef=0.2)
    whole = batch.tokens(batch.proximal + 0.2, with_reference=True)
    doubled: dict[str, Any] = {
        name: value.double()
        for name in PolicyTokens.__dataclass_fields__
        if isinstance(value := getattr(whole, name), torch.Tensor) and value.is_floating_point()
    }
    whole = replace(whole, **doubled)
    whole.logprobs.requires_grad_()
    alone = policy_loss(loss).compute(whole, chosen)
    (wanted,) = torch.autograd.grad(alone.total, whole.logprobs)
    is_second = torch.rand(len(batch.owner), generator=torch.Generator().manual_seed(seed)) < part
    shares = on_two_ranks(loss, whole, is_second, chosen)
    assert all(each.total.requires_grad for each in shares)  # a rank without tokens joins the backward collectives
    together = shares[0].total + shares[1].total
    (got,) = torch.autograd.grad(together, whole.logprobs)
    torch.testing.assert_close(together, alone.total, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    for name in ("clip_low", "clip_high", "is_truncated", "kl"):
        torch.testing.assert_close(sum(getattr(each, name) for each in shares), getattr(alone, name))


def test_dr_grpo_divides_by_a_constant_length_gspo_by_sequences_and_the_others_by_tokens() -> None:
    divisors = {
        name: normaliser(loss, settings(name, **({"max_length": 100} if name == "dr_grpo" else {})), 30, 4)
        for name, loss in ((name, policy_loss(name)) for name in LOSSES)
    }
    assert divisors == {"grpo": 30.0, "cispo": 30.0, "gspo": 4.0, "dr_grpo": 400.0}


def test_dr_grpo_without_its_length_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length"):
        normaliser(policy_loss("dr_grpo"), settings("dr_grpo"), 30, 4)


# ---- what each loss promises -----------------------------------------------------------------------------------------


def gradient(
    loss: str,
    logprobs: list[float],
    advantage: float,
    behaviour: list[float] | None = None,
    reference: list[float] | None = None,
    **changed: float,
) -> list[float]:
    """d total / d log pi for one trajectory whose proximal log-probabilities are all zero."""
    leaf, zeros = torch.tensor(logprobs, requires_grad=True), torch.zeros(len(logprobs))
    tokens = PolicyTokens(
        leaf,
        zeros,
        zeros if behaviour is None else torch.tensor(behaviour),
        zeros + advantage,
        torch.zeros(len(logprobs), dtype=torch.long),
        torch.tensor([float(len(logprobs))]),
        None if reference is None else torch.tensor(reference),
    )
    policy_loss(loss).compute(tokens, settings(loss, **changed)).total.backward()
    assert leaf.grad is not None
    return leaf.grad.tolist()


@pytest.mark.parametrize("loss", CLIPPED)
@pytest.mark.parametrize(
    ("ratio", "advantage", "flows"), [(1.5, 1, False), (1.5, -1, True), (0.5, -1, False), (0.5, 1, True)]
)
def test_the_clip_cuts_the_gradient_only_where_the_step_has_gone_far_enough(
    loss: str, ratio: float, advantage: float, flows: bool
) -> None:
    assert bool(gradient(loss, [math.log(ratio)], advantage)[0]) == flows


@pytest.mark.parametrize("loss", CLIPPED)
def test_a_clip_of_one_is_no_lower_bound(loss: str) -> None:
    assert gradient(loss, [math.log(0.01)], -1.0, clip_low=1.0)[0] == pytest.approx(0.01, rel=1e-5)


def test_cispo_bounds_the_weight_of_a_token_and_never_cuts_its_gradient() -> None:
    assert gradient("cispo", [math.log(5.0), 0.0], 2.0) == pytest.approx([-2 * 1.28, -2.0])
    assert gradient("cispo", [math.log(0.01)], -1.0) == pytest.approx([0.8])
    assert gradient("cispo", [math.log(0.01)], -1.0, clip_low=1.0) == pytest.approx([0.01])


def test_gspo_clips_the_sequence_where_grpo_clips_the_token() -> None:
    one_far_token = [math.log(1.5), 0.0, 0.0, 0.0]  # geometric mean 1.107
    mean = 1.5**0.25
    assert gradient("grpo", one_far_token, 1.0) == pytest.approx([0.0, -1.0, -1.0, -1.0])
    assert gradient("gspo", one_far_token, 1.0) == pytest.approx([-mean / 4] * 4)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_gradient_reaches_the_importance_weight_and_it_is_capped(loss: str) -> None:
    assert gradient(loss, [0.0], 2.0, behaviour=[-0.2]) == pytest.approx([-2.0 * math.exp(0.2)])
    assert gradient(loss, [0.0], 2.0, behaviour=[-0.9]) == pytest.approx([-2.0 * 1.3])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_kl_term_pulls_towards_the_reference_and_weighs_a_token_as_the_loss_does(loss: str) -> None:
    pulled = gradient(loss, [0.0, 0.0], 0.0, reference=[-0.1, 0.1], kl_coef=0.5)
    weight = 0.5 / (2 if loss == "gspo" else 1)
    assert pulled == pytest.approx([weight * 0.1, weight * -0.1], rel=1e-5)  # log pi - log pi_ref


def test_a_kl_between_close_policies_survives_float32() -> None:
    nothing, place = torch.zeros(1), torch.zeros(1, dtype=torch.long)
    tokens = PolicyTokens(torch.tensor([-1e-3]), nothing, nothing, nothing, place, torch.ones(1), nothing)
    kl = policy_loss("grpo").compute(tokens, settings("grpo", kl_coef=1.0)).kl
    assert kl is not None
    assert kl.item() == pytest.approx(math.exp(-1e-3) * (math.exp(1e-3) - 1 - 1e-3), rel=1e-3)
