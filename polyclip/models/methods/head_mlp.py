"""Eight small projection heads that join into one map other libraries can load; the default method.

Captions go through Linear-GELU-Linear, images through Linear.
"""

from polyclip.models.method import PLAIN, Method

METHOD = Method(
    about="eight heads a branch that join into one map; both encoders are frozen, their features cached",
    source="Radford et al. 2021, CLIP (arXiv 2103.00020); "
    "as an ensemble, Lakshminarayanan et al. 2017 (arXiv 1612.01474)",
    members=8,
    hidden=384,
    dim=96,
    text_dropout=0.3,
    learning_rate=6e-3,
    epochs=60,
    tower=PLAIN,
)
