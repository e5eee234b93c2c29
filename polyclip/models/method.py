"""An alignment method: which components go into which encoder, the shape of the heads, and their loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from polyclip.models.components.target import TargetLayers

Part = Callable[
    [TargetLayers], list[nn.Parameter]
]  # adds a component to an encoder, or selects from it; returns the parameters to train
SMALL = "efficientnet-lite0:depths"  # a vision encoder that a laptop can train
LARGE = "efficientnet-lite2:depths"
PLAIN = "efficientnet-lite2"  # its last pooled features, which other libraries have too


@dataclass(frozen=True, kw_only=True)
class Method:
    """Definition of an alignment method.

    A file in `polyclip/models/methods` holds one of these, METHOD, and nothing else; `polyclip methods` lists them.
    """

    about: str  # what is trained, in a few words
    source: str  # paper
    text: tuple[Part, ...] = ()  # components of the text encoder
    vision: tuple[Part, ...] = ()  # components of the vision encoder
    text_layers: str = ""  # which layers get them, unless the user says otherwise
    gated: bool = False  # heads with a gated linear unit beside the linear map
    members: int = 1  # heads in each branch, each trained by its own loss
    hidden: int = 0  # hidden units of the text heads; 0: one linear map
    dim: int = 384  # length of one head's embeddings, unless the user says otherwise
    text_dropout: float = 0.1  # dropout on a caption's features, [0, 1)
    image_dropout: float = 0.3  # the same for images
    learning_rate: float | None = None  # of the heads' phase; None: as in `training.config.HEADS`
    epochs: int | None = (
        None  # of the heads' phase, unless the user says otherwise; None: as in `training.config.HEADS`
    )
    loss: str = "info-nce"
    tower: str = LARGE  # vision encoder, unless the user says otherwise
    penalty: Callable[[Tensor, Tensor], Tensor] | None = (
        None  # (features, embeddings) of one branch's batch -> what is added to the loss
    )
    solve: Callable[[Any, Any, Callable[[], float]], str] | None = (
        None  # heads in closed form (components/closed_form.py); no step is taken then
    )
    relative: bool = False  # heads that store the training pairs
    choose: Callable[[Any, Any], Any] | None = (
        None  # completes the recipe from the training pairs: (recipe, train) -> recipe
    )
    taught: bool = False  # distillation: a text head learns the embeddings of an aligned teacher
    english: bool = False  # trains on English alone, whatever languages are asked for

    def get_parts(self, kind: str) -> tuple[Part, ...]:
        """Components of one encoder, `text` or `vision`."""
        return self.text if kind == "text" else self.vision

    @property
    def trains_towers(self) -> bool:
        """Whether anything is trained inside an encoder."""
        return bool(self.text or self.vision)

    @property
    def takes_names(self) -> bool:
        """Whether the vision encoder's class names can be used beside the heads."""
        return not (self.solve or self.taught or self.relative)
