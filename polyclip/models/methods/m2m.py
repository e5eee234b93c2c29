"""M2M: a linear map into an aligned teacher's text space, learned from English text alone; `--teacher` names the
teacher.
"""

from polyclip.models.method import Method

METHOD = Method(
    about="a linear text head that learns an aligned teacher's embeddings of English captions; no image is trained on",
    source="M2M / METAL (arXiv 2601.10096)",
    loss="mse",
    taught=True,
    english=True,
)
