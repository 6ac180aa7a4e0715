"""Judging answers: the verifier protocol and registry, the built-in verifiers, and the worker processes behind them."""
