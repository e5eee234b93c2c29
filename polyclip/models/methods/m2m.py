"""M2M: a map into an aligned teacher's text space, learnt from English text alone. `--teacher` names the teacher."""

from polyclip.models.method import Method

METHOD = Method(
    about="a linear text head that learns an aligned teacher's vectors of English captions; no picture is trained on",
    source="M2M / METAL (arXiv 2601.10096)",
    loss="mse",
    taught=True,
    english=True,
)
