"""Entry point `vllm.general_plugins`: what vLLM loads in each of its processes."""


def register() -> None:
    """Register our weight-transfer engines with vLLM (filled in by rollout.weights)."""
