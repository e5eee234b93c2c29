"""Attention over short sequences on a CPU, by plain matrix products.

torch's fused attention works through each head of each row alone. With the few tokens of a caption that costs more in
calls than in arithmetic, forward and, in bf16, more so backward; two batched products and a softmax do not.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention

SHORT = 128  # tokens: with more, all scores at once take more memory than a processor's cache has
NAME = "polyclip"  # of this function among transformers' attention functions


def mix_tokens(
    query: Float[Tensor, "row head token part"],
    key: Float[Tensor, "row head token part"],
    value: Float[Tensor, "row head token part"],
    mask: Bool[Tensor, "#row #head #token token"] | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Float[Tensor, "row head token part"]:
    """Multi-head attention, in the form that is fastest for its length and device.

    Args:
        query: What each token looks for.
        key: What each token is found by.
        value: What each token gives.
        mask: True where a token may look; by default everywhere.
        dropout: Share of the weights that are dropped.
        scale: Factor of the scores; by default one over the root of the length of a part.

    Returns:
        The mixed values.

    """
    if query.device.type != "cpu" or torch.compiler.is_compiling() or query.shape[2] > SHORT:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale)
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return drop(scores.softmax(-1), dropout, training=dropout > 0) @ value


def attend_both_ways(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """`mix_tokens` as transformers calls an attention function: [row, token, head, part], and no weights."""
    return mix_tokens(query, key, value, attention_mask, dropout, scaling).transpose(1, 2).contiguous(), None


def use_short_attention(model: Any) -> None:
    """Let a model of transformers whose attention looks both ways attend by `mix_tokens`."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, attend_both_ways)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
