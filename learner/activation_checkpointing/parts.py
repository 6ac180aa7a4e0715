"""Where a model keeps its decoder layers and their MLPs.

Found without help: layers that are transformers' `GradientCheckpointingLayer`, or the elements of the one module list
as long as the configuration's `num_hidden_layers`; and `layer.mlp`. A model that is built otherwise names its parts in
class attributes: `decoder_layers = "transformer.blocks"` on the model, the path of the module list below it, and
`mlp_name = "feed_forward"` on the layer.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from reprise.core.errors import UserError


def decoder_layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The decoder layers in order. Raises UserError if there is no telling which they are."""
    name = type(model).__name__
    path = getattr(model, "decoder_layers", None)
    if path is not None:
        try:
            return list(model.get_submodule(path).children())
        except AttributeError as error:
            raise UserError(f"{name}.decoder_layers: the model has no module {path!r} ({error})") from error
    found = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    if found:
        inside = {id(inner) for outer in found for inner in outer.modules() if inner is not outer}
        return [layer for layer in found if id(layer) not in inside]
    count = model.config.get_text_config().num_hidden_layers
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    if len(lists) != 1:
        raise UserError(
            f"learner.checkpointing: found {len(lists)} lists of {count} layers in {name}, not one; name it in a class "
            'attribute of the model, for instance decoder_layers = "model.layers"'
        )
    return list(lists[0])


def mlp_of(layer: torch.nn.Module) -> torch.nn.Module:
    """The MLP of a decoder layer. Raises UserError if it has none by its name."""
    name = getattr(layer, "mlp_name", "mlp")
    mlp = getattr(layer, name, None)
    if not isinstance(mlp, torch.nn.Module):
        children = ", ".join(child for child, _ in layer.named_children())
        raise UserError(
            f"learner.checkpointing: {type(layer).__name__} has no MLP {name!r} (it has {children}); name it in a "
            'class attribute of the layer, for instance mlp_name = "feed_forward"'
        )
    return mlp
