"""A token table of which only the rows that training captions use are trained: the gradient of all the others is never formed.

Of multilingual tables that is a few thousand rows out of a quarter of a million. What is learned is what AdamW learns on the whole table, but for
one thing: it lets weight decay shrink rows that no caption uses, and here they stay as they came.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding

CAPTIONS = 1024  # at once


class TrainedRows(nn.Module):
    """Stands in the place of `table`, frozen meanwhile; `rows` are those of `used`, ascending token ids."""

    place: Tensor

    def __init__(self, table: nn.Embedding, used: Int[Tensor, " used"]) -> None:
        super().__init__()
        self.table = table.requires_grad_(False)
        self.rows = nn.Parameter(table.weight.detach()[used].clone())
        place = torch.full((len(table.weight),), -1)
        place[used] = torch.arange(len(used))
        self.register_buffer("place", place, persistent=False)

    def forward(self, ids: Int[Tensor, "caption token"]) -> Float[Tensor, "caption token width"]:
        """A token's trained row, or its frozen one."""
        place = self.place[ids]
        return torch.where((place >= 0)[..., None], embedding(place.clamp(min=0), self.rows), self.table(ids))

    @torch.no_grad()
    def whole(self) -> nn.Embedding:
        """The table with its rows in it, trained again as a whole."""
        self.table.weight[self.place >= 0] = self.rows.to(self.table.weight.device)
        return self.table.requires_grad_(True)


def train_rows(encoder: Any, captions: Sequence[str]) -> None:
    """Put TrainedRows in the place of a text encoder's token table, where that is a plain one and is trained."""
    table = table_of(encoder)
    if type(table) is nn.Embedding and table.weight.requires_grad:
        encoder.model.set_input_embeddings(TrainedRows(table, used(encoder, captions)))


def train_whole(encoder: Any) -> None:
    """Take it out again."""
    table = table_of(encoder)
    if isinstance(table, TrainedRows):
        encoder.model.set_input_embeddings(table.whole())


def table_of(encoder: Any) -> Any:
    """The token table of a transformers model; None where an encoder has none."""
    model: Any = getattr(encoder, "model", None)
    return model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None


def used(encoder: Any, captions: Sequence[str]) -> Int[Tensor, " used"]:
    """The ids of the captions' tokens, each once, ascending; padding is none of them."""
    found = torch.empty(0, dtype=torch.long)
    for start in range(0, len(captions), CAPTIONS):
        inputs = encoder.prepare(captions[start : start + CAPTIONS])
        found = torch.cat([found, inputs["input_ids"][inputs["attention_mask"].bool()]]).unique()
    return found
