"""An embedding matrix of which only the rows that training captions use are trained: no other row's gradient is
computed.

Of multilingual matrices that is a few thousand rows out of a quarter of a million. The result is that of AdamW on the
whole matrix, with one exception: AdamW's weight decay shrinks rows that no caption uses, and here they stay unchanged.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding

from polyclip.models.modules import TokenModel, find_module

CAPTIONS = 1024  # at once


class TrainedRows(nn.Module):
    """Replaces an embedding matrix in a model; the matrix is frozen meanwhile.

    Args:
        table: The embedding matrix.
        used: Token ids whose rows are trained, ascending.

    """

    place: Tensor

    def __init__(self, table: nn.Embedding, used: Int[Tensor, " used"]) -> None:
        super().__init__()
        self.table = table.requires_grad_(False)
        self.rows = nn.Parameter(table.weight.detach()[used].clone())
        place = torch.full((len(table.weight),), -1)
        place[used] = torch.arange(len(used))
        self.register_buffer("place", place, persistent=False)

    def forward(self, ids: Int[Tensor, "caption token"]) -> Float[Tensor, "caption token width"]:
        """Embeddings of tokens, from the trained row or the frozen one."""
        place = self.place[ids]
        return torch.where((place >= 0)[..., None], embedding(place.clamp(min=0), self.rows), self.table(ids))

    @torch.no_grad()
    def merge(self) -> nn.Embedding:
        """Write the trained rows back into the matrix, and mark the whole matrix as trained."""
        self.table.weight[self.place >= 0] = self.rows.to(self.table.weight.device)
        return self.table.requires_grad_(True)


def train_rows(encoder: Any, captions: Sequence[str]) -> None:
    """Replace a text encoder's embedding matrix by TrainedRows, where it is a plain one and is trained.

    Args:
        encoder: A built text encoder.
        captions: All training captions.

    """
    table = get_embedding_matrix(encoder)
    if type(table) is nn.Embedding and table.weight.requires_grad:
        encoder.model.set_input_embeddings(TrainedRows(table, find_used_tokens(encoder, captions)))


def restore_matrix(encoder: Any) -> None:
    """Put the whole embedding matrix back in place of TrainedRows."""
    table = get_embedding_matrix(encoder)
    if isinstance(table, TrainedRows):
        encoder.model.set_input_embeddings(table.merge())


def get_embedding_matrix(encoder: Any) -> Any:
    """Embedding matrix of a transformers model; None where an encoder has none."""
    model = find_module(encoder, "model")
    return model.get_input_embeddings() if isinstance(model, TokenModel) else None


def find_used_tokens(encoder: Any, captions: Sequence[str]) -> Int[Tensor, " used"]:
    """Find the token ids of the captions, each once, ascending, without padding."""
    found = torch.empty(0, dtype=torch.long)
    for start in range(0, len(captions), CAPTIONS):
        inputs = encoder.prepare(captions[start : start + CAPTIONS])
        found = torch.cat([found, inputs["input_ids"][inputs["attention_mask"].bool()]]).unique()
    return found
