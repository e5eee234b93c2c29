"""Eight small heads a side that join into one map, Linear-GELU-Linear of captions and Linear of images: what other libraries can hold. The default."""

from polyclip.models.method import PLAIN, Method

METHOD = Method(
    about="eight heads a side that join into one map; both towers are read from the cache",
    source="Radford et al. 2021, CLIP (arXiv 2103.00020); as an ensemble, Lakshminarayanan et al. 2017 (arXiv 1612.01474)",
    members=8,
    hidden=384,
    dim=96,
    text_dropout=0.3,
    learning_rate=3e-3,
    epochs=60,
    tower=PLAIN,
)
