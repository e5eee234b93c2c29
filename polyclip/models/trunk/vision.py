"""Vision encoders as chains of layers (`polyclip.models.trunk`)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from polyclip.models.modules import find_module
from polyclip.models.trunk import State


class TimmViT:
    """timm's VisionTransformer: pre-LN blocks and a final norm."""

    kind = "tokens"

    def __init__(self, model: Any) -> None:
        self.model = model
        block = model.blocks[0]
        self.width, self.heads, self.inner = model.embed_dim, block.attn.num_heads, block.mlp.fc1.out_features

    @property
    def layers(self) -> Any:
        """The blocks, a Sequential."""
        return self.model.blocks

    @property
    def opening(self) -> list[nn.Parameter]:
        """Patch embedding, positions and the class token."""
        tokens = [p for n, p in self.model.named_parameters(recurse=False)]
        return tokens + [p for part in (self.model.patch_embed, self.model.norm_pre) for p in part.parameters()]

    @property
    def final_norm(self) -> nn.Module:
        """LayerNorm after the last block, or after pooling."""
        return self.model.norm if any(True for _ in self.model.norm.parameters()) else self.model.fc_norm

    def begin(self, inputs: State) -> State:
        """Embed the patches with their positions."""
        model = self.model
        return {"hidden": model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(inputs["pixels"]))))}

    def step(self, number: int, state: State) -> State:
        """Apply one transformer block."""
        return {"hidden": self.layers[number](state["hidden"])}

    def end(self, state: State) -> State:
        """Apply the final norm and timm's pooling."""
        return {"pooled": self.model.forward_head(self.model.norm(state["hidden"]), pre_logits=True)}


class TransformersViT:
    """ViT, DeiT, DINOv2 and the vision models of CLIP and SigLIP in transformers: pre-LN layers, with or without a
    final norm.

    Where the layers and norms are stored differs by family and by transformers' version.

    Args:
        model: A transformers vision model.
        final_norm: Attribute name of its final norm; empty where there is none.
        pool: Pools an image's tokens to its features.

    """

    kind = "tokens"

    def __init__(self, model: Any, final_norm: str, pool: Callable[[Tensor], Tensor]) -> None:
        self.model, self.pool, self.final_norm_name = model, pool, final_norm
        config = model.config
        self.width, self.heads = config.hidden_size, config.num_attention_heads
        self.inner = getattr(config, "intermediate_size", None) or int(config.hidden_size * config.mlp_ratio)

    @property
    def layers(self) -> Any:
        """The layers, a ModuleList."""
        found = (find_module(self.model, path) for path in ("layers", "encoder.layers", "encoder.layer"))
        return next(layers for layers in found if layers is not None)

    @property
    def opening(self) -> list[nn.Parameter]:
        """Patch embedding, positions and the class token, and CLIP's norm before the first layer."""
        before = find_module(self.model, "pre_layrnorm")
        return [*self.model.embeddings.parameters(), *(before.parameters() if before is not None else ())]

    @property
    def final_norm(self) -> nn.Module | None:
        """LayerNorm after the last layer; CLIP's tokens have none."""
        return self.model.get_submodule(self.final_norm_name) if self.final_norm_name else None

    def begin(self, inputs: State) -> State:
        """Embed the patches with their positions."""
        hidden = self.model.embeddings(inputs["pixels"])
        before = find_module(self.model, "pre_layrnorm")
        return {"hidden": hidden if before is None else before(hidden)}

    def step(self, number: int, state: State) -> State:
        """Apply one layer; every token attends to every other."""
        return {"hidden": self.layers[number](state["hidden"], None)}

    def end(self, state: State) -> State:
        """Apply the final norm and the pooling."""
        norm = self.final_norm
        return {"pooled": self.pool(state["hidden"] if norm is None else norm(state["hidden"]))}


class TimmEfficientNet:
    """timm's EfficientNet and its kind: a stage counts as one layer.

    Args:
        model: A timm model.
        first_depth: From this stage on, the mean of each stage's map is kept and concatenated to the features; None
            keeps none.

    """

    kind = "map"
    heads = inner = 0

    def __init__(self, model: Any, first_depth: int | None = None) -> None:
        self.model, self.first_depth, self.own = model, first_depth, len(model.blocks)
        self.width = [m for m in model.blocks[-1].modules() if isinstance(m, nn.Conv2d)][-1].out_channels

    @property
    def layers(self) -> Any:
        """The stages, a Sequential."""
        return self.model.blocks

    @property
    def opening(self) -> list[nn.Parameter]:
        """Parameters of the stem."""
        return [p for part in (self.model.conv_stem, self.model.bn1) for p in part.parameters()]

    @property
    def final_norm(self) -> nn.Module:
        """BatchNorm after the last convolution."""
        return self.model.bn2

    def begin(self, inputs: State) -> State:
        """Apply the convolutional stem."""
        return {"hidden": self.model.bn1(self.model.conv_stem(inputs["pixels"]))}

    def step(self, number: int, state: State) -> State:
        """Apply one stage; a stage that a method appended leaves no mean."""
        hidden = self.layers[number](state["hidden"])
        if self.first_depth is None or not self.first_depth <= number < self.own:
            return state | {"hidden": hidden}
        means = [state["means"]] if "means" in state else []
        return {"hidden": hidden, "means": torch.cat([*means, hidden.mean((2, 3))], dim=1)}

    def end(self, state: State) -> State:
        """Apply the last convolution, pool, and concatenate the means of earlier stages."""
        model = self.model
        last = model.forward_head(model.bn2(model.conv_head(state["hidden"])), pre_logits=True)
        return {"pooled": torch.cat([last, state["means"]], dim=1) if "means" in state else last}
