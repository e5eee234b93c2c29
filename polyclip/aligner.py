"""Two frozen towers, the small parts trained on them, and a file that holds those parts alone."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from polyclip import features
from polyclip.components.head import Head, Shape
from polyclip.errors import DataError, RunError, WeightsError
from polyclip.pictures import on_white
from polyclip.plugins import find
from polyclip.records import Picture
from polyclip.storage import writing
from polyclip.tower import Tower, describe

FORMAT = "1"
START_SCALE = 1 / 0.07  # Radford et al. 2021
MAX_SCALE = 100.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an aligner is made of: enough to build it again, empty."""

    text_encoder: str = "e5-small"
    vision_tower: str = "efficientnet-lite2:depths"
    method: str = "head-glu"
    tune: str = "both"  # towers in which the method's parts are put: both, text, vision
    dim: int = 384  # length of one head's vector in the shared space
    text_dropout: float = 0.1  # share of a caption's dimensions left out in training, [0, 1)
    image_dropout: float = 0.3


class Side(nn.Module):
    """One tower with what the method put into it, and its head.

    The tower is built only when something in it is trained, or when a caption or picture is encoded that is not in the cache.
    """

    def __init__(self, kind: str, tower: Tower, recipe: Recipe, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.tower = tower
        method = find("methods", recipe.method)
        self.head = Head(tower.dim, Shape(recipe.dim, method.GATED, method.MEMBERS), dropout)
        self.encoder: nn.Module | None = None  # only where the method trains something inside the tower
        self.added = 0  # parameters the method adds to the tower
        self._built: list[Any] = []  # a frozen encoder, built at first use and kept out of the module tree
        install = method.install
        if install is not None and recipe.tune in ("both", kind):
            encoder = tower.build()
            before = sum(p.numel() for p in encoder.parameters())
            for parameter in install(encoder):
                parameter.requires_grad_(True)
            self.encoder = encoder
            self.added = sum(p.numel() for p in encoder.parameters()) - before

    def forward(self, inputs: dict[str, Tensor]) -> Float[Tensor, "row dim"]:
        """Unit vectors of prepared inputs, or of features from the cache: {"vectors": ...}."""
        if "vectors" in inputs:
            return self.head(inputs["vectors"])
        return self.head(self._encoder()(**inputs))

    def train(self, mode: bool = True) -> "Side":
        """Only the head has a training mode: towers stay in eval mode, so that no dropout acts and no statistics move."""
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        return self

    @torch.inference_mode()
    def embed(self, items: Sequence[Any], what: str, *, keep: bool, sections: Sequence[int] = ()) -> Float[Tensor, "row dim"]:
        """Unit vectors of captions or pictures. `keep` reads and fills the feature cache (`features.encode`) where the tower is as it came."""
        if keep and self.encoder is None:
            vectors = features.encode(self.tower, items, what, sections)
        else:
            vectors = features.forward(self._encoder(), items, what)
        was, _ = self.head.training, self.head.eval()
        unit = self.head(vectors)
        self.head.train(was)
        return unit

    def _encoder(self) -> Any:
        if self.encoder is not None:
            return self.encoder
        if not self._built:
            self._built.append(self.tower.build())
        return self._built[0]


class Aligner(nn.Module):
    """Text side, vision side and the logit scale. What `requires_grad` is trained; nothing else is saved."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.text = Side("text", describe("encoders", recipe.text_encoder), recipe, recipe.text_dropout)
        self.vision = Side("vision", describe("towers", recipe.vision_tower), recipe, recipe.image_dropout)
        self.log_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))

    def scale(self) -> Float[Tensor, ""]:
        """Inverse temperature, at most 100 (Radford et al. 2021)."""
        return self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()

    def forward(self, text: dict[str, Tensor], image: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Unit vectors of captions and of pictures, and the scale."""
        return self.text(text), self.vision(image), self.scale()

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "caption dim"]:
        """Unit vectors, float32 on the CPU. Raises DataError for an empty caption."""
        check_captions(texts)
        return self.text.embed(texts, "captions", keep=False)

    def encode_image(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture dim"]:
        """Unit vectors, float32 on the CPU; what is transparent counts as white. Raises DataError for anything but pictures."""
        for number, image in enumerate(images):
            if not isinstance(image, Image.Image):
                raise DataError(f"Picture {number} of {len(images)} is a {type(image).__name__}, expected a PIL image: PIL.Image.open(path).")
        return self.vision.embed([Picture(str(n), "", partial(on_white, image)) for n, image in enumerate(images)], "pictures", keep=False)

    def counts(self) -> dict[str, int | float]:
        """Trained and total parameters, and the trained share with and without the token table."""
        sides = (self.text, self.vision)
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        heads = sum(p.numel() for side in sides for p in side.head.parameters()) + 1
        total = sum(side.tower.parameters + side.added for side in sides) + heads
        table = sum(side.tower.embeddings for side in sides)
        trained_table = table if self.recipe.method == "full" and self.recipe.tune != "vision" else 0
        return {
            "trained_parameters": trained,
            "total_parameters": total,
            "trained_share": trained / total,
            "trained_share_without_embeddings": (trained - trained_table) / (total - table),
        }

    def state(self) -> dict[str, Tensor]:
        """Trained parameters and the heads' constants, by name."""
        constants = {f"{n}.head.{b}": getattr(s.head, b) for n, s in (("text", self.text), ("vision", self.vision)) for b in ("mean", "deviation")}
        return {n: p.detach() for n, p in self.named_parameters() if p.requires_grad} | constants

    def set_state(self, state: dict[str, Tensor], where: str) -> None:
        """Put a state in.

        Raises WeightsError for a missing or extra tensor, or one of another shape.
        """
        own = self.state()
        missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        shapes = [f"{n} is {list(state[n].shape)}, expected {list(own[n].shape)}" for n in own if n in state and state[n].shape != own[n].shape]
        for problem, found in (("lacks tensor", missing), ("has unexpected tensor", extra), ("has a tensor of another shape:", shapes)):
            if found:
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                raise WeightsError(f"{where} {problem} {found[0]}{more}; it was not made by method {self.recipe.method} on these towers.")
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
        kept_in_half = {n for n, p in self.named_parameters() if p.ndim > 1}
        with writing(path, what="trained parts") as temporary:
            tensors = {n: (t.half() if n in kept_in_half else t).contiguous() for n, t in self.state().items()}
            save_file(tensors, temporary, metadata=metadata)


def check_captions(texts: Sequence[str]) -> None:
    """Raises DataError for a caption without text, and for a single text where a list of them is expected."""
    if isinstance(texts, str):
        raise DataError(f"Expected a list of captions, found one text: write [{texts!r}].")
    for number, text in enumerate(texts):
        if not text.strip():
            raise DataError(f"Caption {number} of {len(texts)} is empty; a caption needs at least one character that is not a space.")


def load(run: str | Path) -> Aligner:
    """The aligner of a run folder (or of an `aligner.safetensors`), in eval mode.

    Raises RunError when there is none, WeightsError when the file is damaged, has missing or extra tensors, or was trained on
    other towers than those at hand.
    """
    path = Path(run) / "aligner.safetensors" if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise RunError(f"{run} is no run folder: it has no aligner.safetensors. Make one with: polyclip align --lang sw --out {run}")
    metadata, state = read_aligner(path)
    aligner = Aligner(Recipe(**json.loads(metadata["recipe"])))
    for side, key in ((aligner.text, "text_encoder"), (aligner.vision, "vision_tower")):
        if side.tower.identity != metadata[key]:
            raise WeightsError(
                f"{path} was trained on another {key.replace('_', ' ')} than {side.tower.name} here: identity {metadata[key][:16]} in the file, "
                f"{side.tower.identity[:16]} at hand. Install the version it was trained with, or align again."
            )
    aligner.set_state(state, str(path))
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
        raise WeightsError(f"{path} is not an aligner of polyclip (format {metadata.get('polyclip')!r}, expected {FORMAT!r}).")
    return metadata, state
