"""The tool-call verifier: calls in tagged JSON blocks, held against JSON Schemas and against the expected calls."""
