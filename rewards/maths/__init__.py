"""Mathematical answers: what was written (`reading`), what must agree (`comparing`), what is equal (`expressions`)."""

from rewards.maths.verifier import MathsVerifier

__all__ = ["MathsVerifier"]
