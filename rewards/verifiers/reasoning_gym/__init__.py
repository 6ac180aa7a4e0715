"""reasoning-gym's scorers, run in the sandbox (`scoring`), and the verifier that asks them (`verifier`)."""

from reprise.rewards.verifiers.reasoning_gym.verifier import ReasoningGymVerifier

__all__ = ["ReasoningGymVerifier"]
