"""The instruction-following verifier: the checkers of IFEval and IFBench, offline and in worker processes."""
