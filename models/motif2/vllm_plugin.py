"""Entry point `vllm.general_plugins`: Motif-2 becomes known to every process that vLLM starts."""

from __future__ import annotations

# What our exports and the published checkpoint call the architecture.
ARCHITECTURES = ("Motif2ForCausalLM", "MotifForCausalLM")


def register() -> None:
    """Register configuration and model; safe to call twice, as vLLM does."""
    from vllm import ModelRegistry

    import reprise.models.motif2  # noqa: F401  the configuration, for AutoConfig

    known = ModelRegistry.get_supported_archs()
    for architecture in ARCHITECTURES:
        if architecture not in known:
            # By name, so that the module is imported where the model is made and nowhere else.
            ModelRegistry.register_model(architecture, "reprise.models.motif2.vllm_model:Motif2ForCausalLM")
