"""Deep adapters (LilT, arXiv 2303.11866): one new layer after a tower's last, started at the identity, and the final norm."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.errors import DataError
from polyclip.models.components.target import Site

EXPANSION = 6  # of the convolutional layer, as in the towers it goes on


class TokenLayer(nn.Module):
    """A pre-LN transformer layer: x + attention(norm1(x)), then x + mlp(norm2(x)). Both last maps start at zero: x comes out.

    It has the parameters of a BERT or ViT layer of the same width. Pre-LN in a post-LN tower too, where no post-LN layer can start at the identity.
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
        """`bias`: [row, 1, token, token], which tokens are looked at, as transformers' layers take it."""
        hidden = hidden + self.attention(self.norm1(hidden), bias)
        return hidden + self.down(nn.functional.gelu(self.up(self.norm2(hidden))))

    def attention(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        """Multi-head attention of every token to every other."""
        rows, tokens, width = hidden.shape
        query, key, value = (
            self.qkv(hidden).view(rows, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.out(seen.transpose(1, 2).reshape(rows, tokens, width))


class MapLayer(nn.Module):
    """An inverted residual block without norms: x + project(depthwise(expand(x))); the projection starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = EXPANSION * width
        self.expand, self.project = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        nn.init.zeros_(self.project.weight)
        if self.project.bias is not None:
            nn.init.zeros_(self.project.bias)

    def forward(self, hidden: Float[Tensor, "row width h w"]) -> Float[Tensor, "row width h w"]:
        """Same shape."""
        return hidden + self.project(nn.functional.relu6(self.depthwise(nn.functional.relu6(self.expand(hidden)))))


def deep_adapter(site: Site) -> list[nn.Parameter]:
    """Append the layer; returns its parameters and those of the final norm.

    Raises DataError for a tower whose layers are not known, and where layers were named: the new one is the last.
    """
    trunk = site.encoder.trunk
    if site.layers:
        raise DataError(f"A deep adapter goes after the last layer: leave out {site.kind} layers {site.layers!r}.")
    if trunk.kind == "whole":
        raise DataError(
            f"A deep adapter has no place in a {site.name}: polyclip does not know its layers. Use --method heads."
        )
    layer = TokenLayer(trunk.width, trunk.heads, trunk.inner) if trunk.kind == "tokens" else MapLayer(trunk.width)
    trunk.layers.append(layer.to(memory_format=torch.channels_last) if isinstance(layer, MapLayer) else layer)
    return [*layer.parameters(), *(trunk.final_norm.parameters() if trunk.final_norm is not None else ())]
