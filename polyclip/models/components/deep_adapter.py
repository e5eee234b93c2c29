"""Deep adapters (LilT, arXiv 2303.11866): a new last layer, initialized as the identity, and the trained final norm."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.errors import DataError
from polyclip.models.attention import mix_tokens
from polyclip.models.components.target import TargetLayers

EXPANSION = 6  # of the convolutional layer, as in the encoders it extends


class TokenLayer(nn.Module):
    """Pre-LN transformer layer: x + attention(norm1(x)), then x + mlp(norm2(x)).

    Both output projections start at zero, so the layer starts as the identity. It has the parameters of a BERT or ViT
    layer of the same width. It is pre-LN in a post-LN encoder too, where no post-LN layer can start as the identity.

    Args:
        width: Length of a token's hidden state.
        heads: Attention heads.
        inner: Hidden width of the feed-forward block.

    """

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        for linear in (self.qkv, self.up):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        for linear in (self.out, self.down):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self, hidden: Float[Tensor, "row token width"], bias: Tensor | None = None
    ) -> Float[Tensor, "row token width"]:
        """Apply the layer; `bias` is an attention mask [row, 1, token, token] as transformers' layers take it."""
        hidden = hidden + self.attend(self.norm1(hidden), bias)
        return hidden + self.down(nn.functional.gelu(self.up(self.norm2(hidden))))

    def attend(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        """Multi-head self-attention over all tokens."""
        rows, tokens, width = hidden.shape
        query, key, value = (
            self.qkv(hidden).view(rows, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )
        seen = mix_tokens(query, key, value, bias)
        return self.out(seen.transpose(1, 2).reshape(rows, tokens, width))


class ConvLayer(nn.Module):
    """Inverted residual block without norms: x + project(depthwise(expand(x))), whose projection starts at zero.

    Args:
        width: Channels of the feature map.

    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = EXPANSION * width
        self.expand, self.project = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        nn.init.zeros_(self.project.weight)
        if self.project.bias is not None:
            nn.init.zeros_(self.project.bias)

    def forward(self, hidden: Float[Tensor, "row width h w"]) -> Float[Tensor, "row width h w"]:
        """Apply the block; the result has the shape of `hidden`."""
        return hidden + self.project(nn.functional.relu6(self.depthwise(nn.functional.relu6(self.expand(hidden)))))


def add_deep_adapter(target: TargetLayers) -> list[nn.Parameter]:
    """Append a layer to the encoder.

    Args:
        target: The whole encoder.

    Returns:
        Parameters of the new layer and of the final norm.

    Raises:
        DataError: The encoder's layers are not known, or `target` names layers: the new layer is always the last.

    """
    trunk = target.encoder.trunk
    if target.layers:
        raise DataError(f"A deep adapter goes after the last layer: leave out {target.kind} layers {target.layers!r}.")
    if trunk.kind == "whole":
        raise DataError(
            f"A deep adapter has no place in a {target.name}: polyclip does not know its layers. Use --method heads."
        )
    layer = TokenLayer(trunk.width, trunk.heads, trunk.inner) if trunk.kind == "tokens" else ConvLayer(trunk.width)
    trunk.layers.append(layer.to(memory_format=torch.channels_last) if isinstance(layer, ConvLayer) else layer)
    return [*layer.parameters(), *(trunk.final_norm.parameters() if trunk.final_norm is not None else ())]
