"""Mathematical answers: what was written (`reading`), what must agree (`comparing`), what is equal (`expressions`)."""

from reprise.rewards.verifiers.maths.verifier import MathsVerifier

__all__ = ["MathsVerifier"]
