"""A batch of groups as the learner sees it: one document for each trajectory that enters the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reprise.core.types import Float32, Group, Int32
from reprise.learner.packing import Document, document


@dataclass(slots=True, eq=False)
class PolicyDocument:
    """A weighted trajectory; the arrays are over its M trainable tokens.

    behaviour  float32[M]  log mu, nats
    versions   int32[M]    the policy version that sampled each token
    advantage              of the trajectory
    proximal   float32[M]  log pi_prox, where it had to be computed ahead of the steps
    reference  float32[M]  log pi_ref, where the objective has a KL term
    """

    document: Document
    behaviour: Float32
    versions: Int32
    advantage: float
    proximal: Float32 | None = None
    reference: Float32 | None = None


def policy_documents(batch: Sequence[Group]) -> list[PolicyDocument]:
    """The trajectories of a batch that enter loss and N: weighted, with at least one trainable token."""
    documents = []
    for group in batch:
        if group.advantages is None or group.weighted is None:
            raise ValueError(f"group {group.id!r} has no advantages: the buffer computes them before a batch is taken")
        for trajectory, advantage, weighted in zip(group.trajectories, group.advantages, group.weighted):
            kept = trajectory.trainable
            if weighted and kept.any():
                documents.append(
                    PolicyDocument(
                        document(trajectory.prompt_ids, trajectory.response_ids, kept),
                        trajectory.behaviour_logprobs[kept],
                        trajectory.versions[kept],
                        float(advantage),
                    )
                )
    return documents
