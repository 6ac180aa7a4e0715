"""Verifying programs: test forms, comparison, and the verifier that runs candidates in the sandbox."""
