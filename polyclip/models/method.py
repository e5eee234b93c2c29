"""What an alignment method is: which components go into which tower, what its heads are, and by which loss they are trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from polyclip.models.components.target import Site

Part = Callable[
    [Site], list[nn.Parameter]
]  # puts something into a tower, or picks from it; returns the parameters to train
SMALL = "efficientnet-lite0:depths"  # a vision tower that a laptop can train inside
LARGE = "efficientnet-lite2:depths"
PLAIN = "efficientnet-lite2"  # its last pooled vector, which other libraries have too


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of `polyclip methods`. A method's file holds one of these, METHOD, and nothing else."""

    about: str
    source: str  # paper
    text: tuple[Part, ...] = ()  # what goes into the text encoder
    vision: tuple[Part, ...] = ()
    text_layers: str = ""  # where, unless the user says otherwise
    gated: bool = False  # heads with a gated branch beside the linear map
    members: int = 1  # heads a side, each trained by its own loss
    hidden: int = 0  # units of the text heads between two linear maps; 0: one linear map
    dim: int = 384  # length of one head's vector, unless the user says otherwise
    text_dropout: float = 0.1  # share of a caption's features left out in training, [0, 1)
    image_dropout: float = 0.3
    learning_rate: float | None = None  # of the heads' phase; None: what `alignment.HEADS` says
    epochs: int | None = None  # of the heads' phase, unless the user says otherwise; None: what `alignment.HEADS` says
    loss: str = "info-nce"
    tower: str = LARGE
    penalty: Callable[[Tensor, Tensor], Tensor] | None = (
        None  # (features, unit vectors) of one side's batch -> what is added to the loss
    )
    solve: Callable[[Any, Any, Callable[[], float]], str] | None = (
        None  # heads in closed form (components/closed_form.py); no step is taken then
    )
    relative: bool = False  # heads that compare with known pairs
    choose: Callable[[Any, Any], Any] | None = (
        None  # settles the recipe by a look at the training pairs: (recipe, train) -> recipe
    )
    taught: bool = False  # text alone: learns the vectors of an aligned teacher
    english: bool = False  # trains English alone, whatever languages are asked for

    @property
    def inside(self) -> bool:
        """Whether anything is trained inside a tower."""
        return bool(self.text or self.vision)

    @property
    def takes_names(self) -> bool:
        """Whether the class names of the vision tower can stand beside its heads."""
        return not (self.solve or self.taught or self.relative)
