"""A tower's body as a chain - opening, layers, closing - so that it can be cut: what lies below is computed once, what lies above is run.

Position 0 is what `prepare` gives, position p >= 1 the hidden state that enters layer p - 1, and the last position, one more than
there are layers, the state that enters the closing part. A hidden state is a dictionary of tensors with one row per item.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


@runtime_checkable
class Trunk(Protocol):
    """How one family of models runs. `layers` grows when a method appends one."""

    kind: str  # of a layer's input: "tokens" [row, token, width] or "map" [row, channel, height, width]
    width: int  # tokens: their length; map: the channels that leave the last layer
    heads: int  # of attention in one layer; 0 where there is none
    inner: int  # hidden width of a layer's feed-forward part; 0 where there is none
    model: Any

    @property
    def layers(self) -> Any:
        """ModuleList or Sequential of the layers; empty where the family is not known, and then the tower is never cut."""
        ...

    @property
    def opening(self) -> list[nn.Parameter]:
        """Parameters used before the first layer."""
        ...

    @property
    def final_norm(self) -> nn.Module | None:
        """The normalisation after the last layer, where there is one."""
        ...

    def begin(self, inputs: State) -> State:
        """From what `prepare` gives to the state that enters the first layer."""
        ...

    def step(self, number: int, state: State) -> State:
        """Through one layer."""
        ...

    def end(self, state: State) -> State:
        """Through what follows the last layer, before pooling."""
        ...


class Bert:
    """BERT, RoBERTa, XLM-R and their kind in transformers: post-LN layers, no final norm."""

    kind = "tokens"
    final_norm = None

    def __init__(self, model: Any) -> None:
        self.model = model
        self.width, self.heads, self.inner = model.config.hidden_size, model.config.num_attention_heads, model.config.intermediate_size

    @property
    def layers(self) -> Any:
        """ModuleList."""
        return self.model.encoder.layer

    @property
    def opening(self) -> list[nn.Parameter]:
        """Token, position and type tables, and their norm."""
        return list(self.model.embeddings.parameters())

    def begin(self, inputs: State) -> State:
        """Embeddings."""
        return {"hidden": self.model.embeddings(input_ids=inputs["input_ids"]), "mask": inputs["attention_mask"]}

    def step(self, number: int, state: State) -> State:
        """One layer."""
        hidden = self.layers[number](state["hidden"], attention_bias(self.model.config, state))
        return state | {"hidden": hidden}

    def end(self, state: State) -> State:
        """Nothing follows."""
        return state


class M2M:
    """The encoder of M2M-100 and NLLB: pre-LN layers and a final norm."""

    kind = "tokens"

    def __init__(self, model: Any) -> None:
        self.model = model
        self.width, self.heads, self.inner = model.config.d_model, model.config.encoder_attention_heads, model.config.encoder_ffn_dim

    @property
    def layers(self) -> Any:
        """ModuleList."""
        return self.model.layers

    @property
    def opening(self) -> list[nn.Parameter]:
        """The token table; positions are computed."""
        return list(self.model.embed_tokens.parameters())

    @property
    def final_norm(self) -> nn.Module:
        """LayerNorm."""
        return self.model.layer_norm

    def begin(self, inputs: State) -> State:
        """Scaled token vectors plus sinusoids."""
        tokens = self.model.embed_tokens(inputs["input_ids"])
        return {"hidden": tokens + self.model.embed_positions(inputs["input_ids"], tokens).to(tokens.device), "mask": inputs["attention_mask"]}

    def step(self, number: int, state: State) -> State:
        """One layer."""
        return state | {"hidden": self.layers[number](state["hidden"], attention_bias(self.model.config, state))}

    def end(self, state: State) -> State:
        """The final norm."""
        return state | {"hidden": self.model.layer_norm(state["hidden"])}


class TimmViT:
    """timm's VisionTransformer: pre-LN blocks and a final norm."""

    kind = "tokens"

    def __init__(self, model: Any) -> None:
        self.model = model
        block = model.blocks[0]
        self.width, self.heads, self.inner = model.embed_dim, block.attn.num_heads, block.mlp.fc1.out_features

    @property
    def layers(self) -> Any:
        """Sequential."""
        return self.model.blocks

    @property
    def opening(self) -> list[nn.Parameter]:
        """Patches, positions and the class token."""
        tokens = [p for n, p in self.model.named_parameters(recurse=False)]
        return tokens + [p for part in (self.model.patch_embed, self.model.norm_pre) for p in part.parameters()]

    @property
    def final_norm(self) -> nn.Module:
        """LayerNorm: after the last block, or after pooling."""
        return self.model.norm if any(True for _ in self.model.norm.parameters()) else self.model.fc_norm

    def begin(self, inputs: State) -> State:
        """Patches with positions."""
        model = self.model
        return {"hidden": model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(inputs["pixels"]))))}

    def step(self, number: int, state: State) -> State:
        """One block."""
        return {"hidden": self.layers[number](state["hidden"])}

    def end(self, state: State) -> State:
        """The final norm; timm pools."""
        return {"pooled": self.model.forward_head(self.model.norm(state["hidden"]), pre_logits=True)}


class TransformersViT:
    """ViT, DeiT, DINOv2 and the vision models of CLIP and SigLIP in transformers: pre-LN layers, with or without a final norm.

    Where the layers and norms stand differs by family and by transformers' version. `pool` makes one vector of a picture's tokens.
    """

    kind = "tokens"

    def __init__(self, model: Any, final_norm: str, pool: Callable[[Tensor], Tensor]) -> None:
        self.model, self.pool, self.final_norm_name = model, pool, final_norm
        config = model.config
        self.width, self.heads = config.hidden_size, config.num_attention_heads
        self.inner = getattr(config, "intermediate_size", None) or int(config.hidden_size * config.mlp_ratio)

    @property
    def layers(self) -> Any:
        """ModuleList."""
        holder = self.model if hasattr(self.model, "layers") else self.model.encoder
        return holder.layers if hasattr(holder, "layers") else holder.layer

    @property
    def opening(self) -> list[nn.Parameter]:
        """Patches, positions and the class token, and CLIP's norm before the first layer."""
        before = getattr(self.model, "pre_layrnorm", None)
        return [*self.model.embeddings.parameters(), *(before.parameters() if before is not None else ())]

    @property
    def final_norm(self) -> nn.Module | None:
        """LayerNorm; CLIP's tokens have none."""
        return getattr(self.model, self.final_norm_name) if self.final_norm_name else None

    def begin(self, inputs: State) -> State:
        """Patches with positions."""
        hidden = self.model.embeddings(inputs["pixels"])
        return {"hidden": self.model.pre_layrnorm(hidden) if hasattr(self.model, "pre_layrnorm") else hidden}

    def step(self, number: int, state: State) -> State:
        """One layer; every token sees every other."""
        return {"hidden": self.layers[number](state["hidden"], None)}

    def end(self, state: State) -> State:
        """The final norm, and pooling."""
        norm = self.final_norm
        return {"pooled": self.pool(state["hidden"] if norm is None else norm(state["hidden"]))}


class TimmEfficientNet:
    """timm's EfficientNet and its kind: a stage counts as one layer.

    With `first_depth` the means of the stages from that one on are kept, since they stand beside the last map's in the pooled vector.
    """

    kind = "map"
    heads = inner = 0

    def __init__(self, model: Any, first_depth: int | None = None) -> None:
        self.model, self.first_depth, self.own = model, first_depth, len(model.blocks)
        self.width = [m for m in model.blocks[-1].modules() if isinstance(m, nn.Conv2d)][-1].out_channels

    @property
    def layers(self) -> Any:
        """Sequential."""
        return self.model.blocks

    @property
    def opening(self) -> list[nn.Parameter]:
        """The stem."""
        return [p for part in (self.model.conv_stem, self.model.bn1) for p in part.parameters()]

    @property
    def final_norm(self) -> nn.Module:
        """BatchNorm after the last convolution."""
        return self.model.bn2

    def begin(self, inputs: State) -> State:
        """The stem."""
        return {"hidden": self.model.bn1(self.model.conv_stem(inputs["pixels"]))}

    def step(self, number: int, state: State) -> State:
        """One stage; a stage that a method appended leaves no mean."""
        hidden = self.layers[number](state["hidden"])
        if self.first_depth is None or not self.first_depth <= number < self.own:
            return state | {"hidden": hidden}
        means = [state["means"]] if "means" in state else []
        return {"hidden": hidden, "means": torch.cat([*means, hidden.mean((2, 3))], dim=1)}

    def end(self, state: State) -> State:
        """The last convolution and the mean of its map, before the means of earlier stages."""
        model = self.model
        last = model.forward_head(model.bn2(model.conv_head(state["hidden"])), pre_logits=True)
        return {"pooled": torch.cat([last, state["means"]], dim=1) if "means" in state else last}


class Whole:
    """A model of a family that is not known: it runs as a whole and is never cut."""

    kind = "whole"
    width = heads = inner = 0
    layers: tuple[nn.Module, ...] = ()
    final_norm = None

    def __init__(self, model: Any, run: Any) -> None:
        self.model, self.run = model, run

    @property
    def opening(self) -> list[nn.Parameter]:
        """Everything."""
        return list(self.model.parameters())

    def begin(self, inputs: State) -> State:
        """All of it."""
        return self.run(inputs)

    def step(self, number: int, state: State) -> State:
        """There are no layers."""
        raise IndexError(number)

    def end(self, state: State) -> State:
        """Nothing follows."""
        return state


def attention_bias(config: Any, state: State) -> Tensor | None:
    """What transformers' layers take to look at real tokens only."""
    from transformers.masking_utils import create_bidirectional_mask

    bias: Tensor | None = create_bidirectional_mask(config=config, inputs_embeds=state["hidden"], attention_mask=state["mask"])
    return bias


def below(trunk: Trunk, inputs: State, position: int) -> State:
    """The state at `position`, from what `prepare` gives."""
    if position == 0:
        return inputs
    state = trunk.begin(inputs)
    for number in range(position - 1):
        state = trunk.step(number, state)
    return state


def above(trunk: Trunk, state: State, position: int) -> State:
    """What the closing part gives, from the state at `position`."""
    if position == 0:
        state, position = trunk.begin(state), 1
    for number in range(position - 1, len(trunk.layers)):
        state = trunk.step(number, state)
    return trunk.end(state)


def first_trained(trunk: Trunk) -> int:
    """The deepest position below which nothing is trained."""
    return next((position for position, own in stages(trunk) if any(p.requires_grad for p in own)), len(trunk.layers) + 1)


def stages(trunk: Trunk) -> Iterator[tuple[int, list[nn.Parameter]]]:
    """Position and parameters of the opening and of each layer."""
    yield 0, trunk.opening
    for number, layer in enumerate(trunk.layers):
        yield number + 1, list(layer.parameters())
