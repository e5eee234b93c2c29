"""Distillation from a teacher over translations, after M-CLIP; `--teacher` names the teacher."""

from polyclip.models.method import Method

METHOD = Method(
    about="a text head that learns an aligned teacher's embeddings of the English captions of the same concepts",
    source="Carlsson et al. 2022, M-CLIP",
    gated=True,
    loss="contrastive-distillation",
    taught=True,
)
