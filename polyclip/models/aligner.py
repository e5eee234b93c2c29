"""Two frozen towers, the small parts trained on them, and a file that holds those parts alone."""

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from polyclip.core.registry import find
from polyclip.core.storage import writing
from polyclip.data.images import on_white
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, RunError, UnknownName, WeightsError
from polyclip.languages.normalize import typed
from polyclip.models.backbone import describe
from polyclip.models.branch import TUNED, Branch, ModelConfig, counts
from polyclip.models.losses import LOSSES, STARTS
from polyclip.models.method import Method

FORMAT = "1"
START_SCALE = 1 / 0.07  # Radford et al. 2021
MAX_SCALE = 100.0


class PolyCLIP(nn.Module):
    """Text side, vision side and the logit scale. What `requires_grad` is trained; nothing else is saved."""

    def __init__(self, recipe: ModelConfig) -> None:
        super().__init__()
        self.recipe, self.source = recipe, ""  # what it is made of; the folder it was loaded from, or owner/name@commit
        self.method: Method = find("methods", recipe.method).METHOD
        self.loss = recipe.loss or self.method.loss
        for kind, name, known in (("loss", self.loss, LOSSES), ("tune", recipe.tune, TUNED)):
            if name not in known:
                raise UnknownName(kind, name, known)
        self.text = Branch("text", describe("encoders", recipe.text_encoder), recipe, recipe.text_dropout)
        self.vision = Branch("vision", describe("towers", recipe.vision_tower), recipe, recipe.image_dropout)
        scale, bias = STARTS.get(self.loss, (START_SCALE, 0.0))
        trained = self.method.solve is None
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=trained and self.loss != "mse")
        self.logit_bias = nn.Parameter(torch.tensor(bias), requires_grad=trained and self.loss in STARTS)

    def scale(self) -> Float[Tensor, ""]:
        """Inverse temperature, at most 100 (Radford et al. 2021)."""
        return self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()

    def forward(self, text: dict[str, Any], image: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Unit vectors of captions and of pictures, scale and bias of their logits."""
        return self.text(text), self.vision(image), self.scale(), self.logit_bias

    def encode_text(self, texts: Sequence[str], language: str = "") -> Float[Tensor, "caption dim"]:
        """Unit vectors, float32 on the CPU, of texts normalised as the language's pack says, without one by NFC.

        Raises DataError for an empty caption, UnknownName for a language without a pack.
        """
        return self.text.embed(typed(texts, language), "captions", keep=False)

    def encode_image(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture dim"]:
        """Unit vectors, float32 on the CPU; what is transparent counts as white. Raises DataError for anything but pictures."""
        for number, image in enumerate(images):
            if not isinstance(image, Image.Image):
                raise DataError(
                    f"Picture {number} of {len(images)} is a {type(image).__name__}, expected a PIL image: PIL.Image.open(path)."
                )
        return self.vision.embed(
            [ImageSource(str(n), "", partial(on_white, image)) for n, image in enumerate(images)],
            "pictures",
            keep=False,
        )

    def counts(self) -> dict[str, int | float]:
        """Trained and total parameters, and the trained share with and without the token table."""
        return counts((self.text, self.vision), [self.log_scale, self.logit_bias])

    def state(self) -> dict[str, Tensor]:
        """Trained parameters and all of the heads, by name: also their constants, and a head taken over from a teacher."""
        heads = {
            f"{side.kind}.head.{name}": tensor
            for side in (self.text, self.vision)
            for name, tensor in side.head.state_dict().items()
        }
        return {n: p.detach() for n, p in self.named_parameters() if p.requires_grad} | heads

    def set_state(self, state: dict[str, Tensor], where: str) -> None:
        """Put a state in.

        Raises WeightsError for a missing or extra tensor, or one of another shape.
        """
        own = self.state()
        missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        shapes = [
            f"{n} is {list(state[n].shape)}, expected {list(own[n].shape)}"
            for n in own
            if n in state and state[n].shape != own[n].shape
        ]
        for problem, found in (
            ("lacks tensor", missing),
            ("has unexpected tensor", extra),
            ("has a tensor of another shape:", shapes),
        ):
            if found:
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                raise WeightsError(
                    f"{where} {problem} {found[0]}{more}; it was not made by method {self.recipe.method} on these towers."
                )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])

    def save(self, path: Path) -> None:
        """Write the trained parts alone, matrices in half precision, with the recipe and the identity of both towers."""
        metadata = {
            "polyclip": FORMAT,
            "recipe": json.dumps(self.recipe.__dict__),
            "text_encoder": self.text.tower.identity,
            "vision_tower": self.vision.tower.identity,
        }
        kept_in_half = {n for n, p in self.state().items() if p.ndim > 1}
        with writing(path, what="trained parts") as temporary:
            tensors = {n: (t.half() if n in kept_in_half else t).contiguous() for n, t in self.state().items()}
            save_file(tensors, temporary, metadata=metadata)


def load_model(run: str | Path) -> PolyCLIP:
    """The aligner of a run folder (or of an `aligner.safetensors`), in eval mode.

    Raises RunError when there is none, WeightsError for a damaged file, missing or extra tensors, or other towers than those at hand.
    """
    path = Path(run) / "aligner.safetensors" if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise RunError(
            f"{run} is no run folder: it has no aligner.safetensors. Make one with: polyclip align --lang sw --out {run}"
        )
    metadata, state = read_aligner(path)
    try:
        recipe = ModelConfig(**json.loads(metadata["recipe"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} has a recipe that this version of polyclip cannot read ({error}); align again, or use the version it was made with."
        ) from error
    aligner = PolyCLIP(recipe)
    for side, key in ((aligner.text, "text_encoder"), (aligner.vision, "vision_tower")):
        if side.tower.identity != metadata[key]:
            raise WeightsError(
                f"{path} was trained on another {key.replace('_', ' ')} than {side.tower.name} here: identity {metadata[key][:16]} in the file, "
                f"{side.tower.identity[:16]} at hand. Install the version it was trained with, or align again."
            )
    aligner.set_state(state, str(path))
    aligner.source = str(run)
    return aligner.eval()


def read_aligner(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of an aligner file.

    Raises WeightsError when it is damaged or not polyclip's.
    """
    try:
        with safe_open(path, "pt") as handle:
            metadata = handle.metadata() or {}
            state = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or truncated ({error}); copy it again or align again.") from error
    if metadata.get("polyclip") != FORMAT:
        raise WeightsError(
            f"{path} is not an aligner of polyclip (format {metadata.get('polyclip')!r}, expected {FORMAT!r})."
        )
    return metadata, state
