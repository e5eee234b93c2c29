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
from polyclip.components.head import Head, Pass, Relative, Shape
from polyclip.components.site import Site
from polyclip.errors import DataError, RunError, UnknownName, WeightsError
from polyclip.features import POOLED
from polyclip.losses import LOSSES, STARTS
from polyclip.method import Method, Part
from polyclip.normalise import typed
from polyclip.pictures import on_white
from polyclip.plugins import find
from polyclip.records import Picture
from polyclip.storage import writing
from polyclip.tower import Tower, describe
from polyclip.trunk import first_trained

FORMAT = "1"
START_SCALE = 1 / 0.07  # Radford et al. 2021
MAX_SCALE = 100.0
TUNED = ("both", "text", "vision")


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
    loss: str = ""  # empty: the method's own
    text_layers: str = ""  # layers in which the method's parts are put, "first:end"; empty: the method's own, else all
    vision_layers: str = ""
    rank: str = "8"  # of low-rank updates (components/low_rank.py)
    teacher: str = ""  # the aligned model that a taught method learns from
    image_head: str = ""  # of a taught method, the teacher's: "pass", or kind, dim and members, as "gated 384 2"
    anchors: int = 0  # pairs that a relative head keeps; found by the method


class Side(nn.Module):
    """One tower with what the method put into it, and its head.

    The tower is built only when something in it is trained, or when a caption or picture is encoded that is not in the cache.
    """

    def __init__(self, kind: str, tower: Tower, recipe: Recipe, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.tower = tower
        method: Method = find("methods", recipe.method).METHOD
        self.head: Any = head_of(method, kind, tower, recipe, dropout)
        self.encoder: Any = None  # only where the method trains something inside the tower
        self.added = 0  # parameters the method adds to the tower
        self.cut = POOLED  # where the trunk is cut: what lies below is frozen, and its states are kept
        self._recent: tuple[list[Any], Tensor] | None = None  # what a live tower said last, as long as it is not trained on
        self._built: list[Any] = []  # a frozen encoder, built at first use and kept out of the module tree
        parts, layers = (method.text, recipe.text_layers or method.text_layers) if kind == "text" else (method.vision, recipe.vision_layers)
        if parts and recipe.tune in ("both", kind):
            self.encoder = tower.build()
            self.added = install(Site(encoder=self.encoder, kind=kind, layers=layers, rank=recipe.rank), parts)
            self.cut = first_trained(self.encoder.trunk)

    def forward(self, inputs: dict[str, Any]) -> Float[Tensor, "row dim"]:
        """Unit vectors: of features {"vectors": ...}, of hidden states at the cut {"states": [...], "order": ...}, or {"unit": ...} as they are.

        "kept" says what the head's dropout leaves, where that is drawn elsewhere.
        """
        if "unit" in inputs:
            return inputs["unit"]
        kept = {"kept": inputs["kept"]} if "kept" in inputs else {}
        if "vectors" in inputs:
            return self.head(inputs["vectors"], **kept)
        pooled = torch.cat([self.encoder.finish(state, self.cut) for state in inputs["states"]])
        return self.head(pooled[inputs["order"]], **kept)

    def train(self, mode: bool = True) -> "Side":
        """Only the head has a training mode: towers stay in eval mode, so that no dropout acts and no statistics move."""
        self._recent = None if mode else self._recent
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        return self

    @torch.inference_mode()
    def embed(self, items: Sequence[Any], what: str, *, keep: bool, sections: Sequence[int] = ()) -> Float[Tensor, "row dim"]:
        """Unit vectors of captions or pictures. `keep` reads and fills the feature cache (`features.encode`), below the cut where there is one."""
        return self.unit(self.pooled(items, what, keep=keep, sections=sections))

    @torch.inference_mode()
    def unit(self, pooled: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """The head's vectors, without dropout."""
        was, _ = self.head.training, self.head.eval()
        found = self.head(pooled)
        self.head.train(was)
        return found

    @torch.inference_mode()
    def pooled(self, items: Sequence[Any], what: str, *, keep: bool, sections: Sequence[int] = ()) -> Float[Tensor, "row width"]:
        """The tower's own vectors, with what was trained inside it."""
        if keep and self.encoder is None:
            return features.encode(self.tower, items, what, sections)
        if keep and self._recent is not None and self._recent[0] == list(items):
            return self._recent[1]
        if keep and self.cut > 0 and len(items):
            vectors = features.finish(self.encoder, features.states(self.tower, self.cut, items, what, sections), what)
        else:
            vectors = features.forward(self._encoder(), items, what)
        self._recent = (list(items), vectors) if keep else None
        return vectors

    def _encoder(self) -> Any:
        if self.encoder is not None:
            return self.encoder
        if not self._built:
            self._built.append(features.running(self.tower))
        return self._built[0]


def head_of(method: Method, kind: str, tower: Tower, recipe: Recipe, dropout: float) -> nn.Module:
    """The head that a method puts on a tower."""
    if method.taught and kind == "vision":
        return taught_head(recipe.image_head, tower)
    if recipe.anchors:
        return Relative(tower.dim, recipe.anchors)
    return Head(tower.dim, Shape(recipe.dim, method.gated, method.members), dropout)


def taught_head(text: str, tower: Tower) -> nn.Module:
    """A teacher's vision head, or none where its tower's vectors are aligned already; it is not trained."""
    if text in ("", "pass"):
        return Pass()
    kind, dim, members = text.split()
    return Head(tower.dim, Shape(int(dim), kind == "gated", int(members)), 0.0).requires_grad_(False)


def install(site: Site, parts: Sequence[Part]) -> int:
    """Put a method's parts into a built tower and mark what is trained; returns how many parameters were added."""
    before = sum(p.numel() for p in site.encoder.parameters())
    trained = [p for part in parts for p in part(site)]
    site.encoder.requires_grad_(False)  # peft, for one, marks what it adds
    for parameter in trained:
        parameter.requires_grad_(True)
    site.encoder.eval()
    return sum(p.numel() for p in site.encoder.parameters()) - before


class Aligner(nn.Module):
    """Text side, vision side and the logit scale. What `requires_grad` is trained; nothing else is saved."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, self.source = recipe, ""  # what it is made of; the folder it was loaded from, or owner/name@commit
        self.method: Method = find("methods", recipe.method).METHOD
        self.loss = recipe.loss or self.method.loss
        for kind, name, known in (("loss", self.loss, LOSSES), ("tune", recipe.tune, TUNED)):
            if name not in known:
                raise UnknownName(kind, name, known)
        self.text = Side("text", describe("encoders", recipe.text_encoder), recipe, recipe.text_dropout)
        self.vision = Side("vision", describe("towers", recipe.vision_tower), recipe, recipe.image_dropout)
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
                raise DataError(f"Picture {number} of {len(images)} is a {type(image).__name__}, expected a PIL image: PIL.Image.open(path).")
        return self.vision.embed([Picture(str(n), "", partial(on_white, image)) for n, image in enumerate(images)], "pictures", keep=False)

    def counts(self) -> dict[str, int | float]:
        """Trained and total parameters, and the trained share with and without the token table."""
        return counts((self.text, self.vision), [self.log_scale, self.logit_bias])

    def state(self) -> dict[str, Tensor]:
        """Trained parameters and all of the heads, by name: also their constants, and a head taken over from a teacher."""
        heads = {f"{side.kind}.head.{name}": tensor for side in (self.text, self.vision) for name, tensor in side.head.state_dict().items()}
        return {n: p.detach() for n, p in self.named_parameters() if p.requires_grad} | heads

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
        kept_in_half = {n for n, p in self.state().items() if p.ndim > 1}
        with writing(path, what="trained parts") as temporary:
            tensors = {n: (t.half() if n in kept_in_half else t).contiguous() for n, t in self.state().items()}
            save_file(tensors, temporary, metadata=metadata)


def counts(sides: Sequence[Side], logits: Sequence[nn.Parameter]) -> dict[str, int | float]:
    """Trained and total parameters, and the trained share with and without the token table.

    The total is that of the model as trained: towers without their classifier or pooler, new parts, heads, and what of the logits is trained.
    """
    everything = [p for side in sides for p in side.parameters()] + list(logits)
    heads = sum(p.numel() for side in sides for p in side.head.parameters()) + sum(p.numel() for p in logits if p.requires_grad)
    trained = sum(p.numel() for p in everything if p.requires_grad)
    total = sum(side.tower.parameters + side.added for side in sides) + heads
    table = sum(side.tower.embeddings for side in sides)
    trained_table = sum(side.tower.embeddings for side in sides if side.cut == 0 and all(p.requires_grad for p in side.encoder.trunk.opening))
    return {
        "trained_parameters": trained,
        "total_parameters": total,
        "trained_share": trained / total,
        "trained_share_without_embeddings": (trained - trained_table) / (total - table),
    }


def load(run: str | Path) -> Aligner:
    """The aligner of a run folder (or of an `aligner.safetensors`), in eval mode.

    Raises RunError when there is none, WeightsError for a damaged file, missing or extra tensors, or other towers than those at hand.
    """
    path = Path(run) / "aligner.safetensors" if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise RunError(f"{run} is no run folder: it has no aligner.safetensors. Make one with: polyclip align --lang sw --out {run}")
    metadata, state = read_aligner(path)
    try:
        recipe = Recipe(**json.loads(metadata["recipe"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} has a recipe that this version of polyclip cannot read ({error}); align again, or use the version it was made with."
        ) from error
    aligner = Aligner(recipe)
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
        raise WeightsError(f"{path} is not an aligner of polyclip (format {metadata.get('polyclip')!r}, expected {FORMAT!r}).")
    return metadata, state
