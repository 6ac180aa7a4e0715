"""The contract of a verifier as a test suite for anybody's class, in one command:

python -m pytest -p reprise.rewards.contract_suite.plugin --pyargs reprise.rewards.contract_suite \\
    --verifier my_package:MyVerifier --answers pair.jsonl

`pair.jsonl` holds two answers to one task in the form that `reprise verify` reads: one that is right, then a wrong one.
"""
