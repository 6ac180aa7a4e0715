"""Verifying answers: the verifier protocol and registry, the built-in verifiers, and their worker processes."""
