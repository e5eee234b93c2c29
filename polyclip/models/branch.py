"""A branch of a model: an encoder, what a method puts into it, and its head."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.core.device import use_device
from polyclip.core.encode_precision import current_encode_precision, use_encode_precision
from polyclip.core.registry import find
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec
from polyclip.models.components.heads import Head, HeadShape, IdentityHead, ProjectionHead, RelativeHead
from polyclip.models.components.joint_head import ClassRows, JointHead, NameUnits
from polyclip.models.components.target import TargetLayers
from polyclip.models.config import ModelConfig
from polyclip.models.encoding import build_encoder, get_inference_form
from polyclip.models.feature_files import POOLED
from polyclip.models.method import Method, Part
from polyclip.models.trunk import find_first_trained

TUNED = ("both", "text", "vision")
HEAD_ROWS = 65_536  # features that a head takes at once


class Branch(nn.Module):
    """An encoder with what the method put into it, and its head.

    The encoder is built only when something in it is trained, or when an item is encoded that is not in the cache.
    """

    def __init__(self, kind: str, tower: BackboneSpec, recipe: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.tower = tower
        method: Method = find("methods", recipe.method).METHOD
        self.head: Any = head_of(method, kind, tower, recipe, dropout)
        self.encoder: Any = None  # only where the method trains something inside the tower
        self.added = 0  # parameters the method adds to the tower
        self._place: Tensor
        self.register_buffer("_place", torch.empty(0), persistent=False)  # its device and type are the branch's
        self.cut = POOLED  # where the trunk is cut: what lies below is frozen, and its states are kept
        self._recent: tuple[list[Any], Tensor] | None = (
            None  # what a live tower said last, as long as it is not trained on
        )
        self.precision = ""  # in which a frozen encoder encodes (core/encode_precision); empty: the one in use
        self._built: dict[str, Any] = {}  # a frozen encoder by precision, built at first use, out of the module tree
        parts, layers = (
            (method.text, recipe.text_layers or method.text_layers)
            if kind == "text"
            else (method.vision, recipe.vision_layers)
        )
        if parts and recipe.tune in ("both", kind):
            self.encoder = tower.build()
            self.added = install(TargetLayers(encoder=self.encoder, kind=kind, layers=layers, rank=recipe.rank), parts)
            self.cut = find_first_trained(self.encoder.trunk)

    def forward(self, inputs: dict[str, Any]) -> Float[Tensor, "row dim"]:
        """Embed what a training step feeds the branch with.

        Args:
            inputs: Features {"vectors": [row, width]}; hidden states at the cut {"states": [...], "order": [row]}; or
                embeddings {"unit": [row, dim]} that stay as they are. "kept" says what the head's dropout leaves, where
                that is sampled elsewhere.

        Returns:
            Unit vectors, with gradients.

        """
        if "unit" in inputs:
            return inputs["unit"]
        kept = {"kept": inputs["kept"]} if "kept" in inputs else {}
        if "vectors" in inputs:
            return self.head(inputs["vectors"], **kept)
        pooled = torch.cat([self.encoder.finish(state, self.cut) for state in inputs["states"]])
        return self.head(pooled[inputs["order"]], **kept)

    def train(self, mode: bool = True) -> "Branch":
        """Set the head's mode; the encoder stays in eval mode, so that no dropout acts and no statistics move."""
        self._recent = None if mode else self._recent
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the branch encodes: it moves with `.to(device)`."""
        return self._place.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the branch's weights."""
        return self._place.dtype

    def _apply(self, fn: Any, recurse: bool = True) -> "Branch":
        """Move or cast the branch; a frozen encoder built for another device or type is built again when needed."""
        before = (self._place.device, self._place.dtype)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if before != (self._place.device, self._place.dtype):
            self._built.clear()
            self._recent = None
        return self

    @torch.inference_mode()
    def embed(
        self,
        items: Sequence[Any],
        what: str,
        *,
        keep: bool,
        sections: Sequence[int] = (),
        normalize: bool = True,
    ) -> Float[Tensor, "row dim"]:
        """Embed captions or images.

        Args:
            items: Captions, or image sources.
            what: What is encoded, for the progress bar.
            keep: Read and fill the feature cache, below the cut where the encoder has one.
            sections: Lengths of runs of items that belong together, as in `feature_cache.encode`.
            normalize: False for what the head computes before it normalizes.

        Returns:
            Unit vectors in float32 on the CPU, one row an item.

        """
        features = self.encode_features(items, what, keep=keep, sections=sections)
        return self.unit(features) if normalize else self.project(features)

    @torch.inference_mode()
    def unit(self, pooled: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Apply the projection head to features, without dropout.

        Args:
            pooled: Features on any device.

        Returns:
            Unit vectors in float32 on the CPU.

        """
        was, _ = self.head.training, self.head.eval()
        found = self._apply_head(self.head, pooled)
        self.head.train(was)
        return found if self._place.dtype == torch.float32 else torch.nn.functional.normalize(found, dim=1)

    @torch.inference_mode()
    def project(self, pooled: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """What `unit` computes before it normalizes, in float32 on the CPU."""
        return self._apply_head(self.head.project, pooled)

    def _apply_head(self, head: Any, pooled: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """What a function of the head says of features, some rows at a time, in float32 on the CPU."""
        rows = pooled.split(HEAD_ROWS)
        return torch.cat([head(some.to(self.device, self._place.dtype)).float().cpu() for some in rows])

    @torch.inference_mode()
    def encode_features(
        self,
        items: Sequence[Any],
        what: str,
        *,
        keep: bool,
        sections: Sequence[int] = (),
    ) -> Float[Tensor, "row width"]:
        """Features of the encoder, with what was trained inside it; arguments as in `embed`."""
        with use_encode_precision(self.precision):
            return self.fetch_features(items, what, keep, sections)

    def fetch_features(
        self, items: Sequence[Any], what: str, keep: bool, sections: Sequence[int]
    ) -> Float[Tensor, "row width"]:
        """Features from the cache, or from the encoder on the device and in the precision in use."""
        if keep and self.encoder is None:
            with use_device(self.device):
                return feature_cache.encode(self.tower, items, what, sections)
        if keep and self._recent is not None and self._recent[0] == list(items):
            return self._recent[1]
        if keep and self.cut > 0 and len(items):
            with use_device(self.device):
                states = feature_cache.states(self.tower, self.cut, items, what, sections)
            vectors = feature_cache.finish(self.encoder, states, what)
        else:
            vectors = feature_cache.forward(self.running_encoder(), items, what)
        self._recent = (list(items), vectors) if keep else None
        return vectors

    def get_encoder(self) -> Any:
        """The encoder with what is trained in it; without anything trained a new one at each call, on the CPU."""
        return self.tower.build() if self.encoder is None else self.encoder

    def running(self) -> Any:
        """The encoder in the form that encodes fastest on the branch's device."""
        with use_encode_precision(self.precision):
            if self.encoder is not None:
                return get_inference_form(self.encoder, current_encode_precision(self.device))
            return build_encoder(self.tower, self.device, self._place.dtype)

    def running_encoder(self) -> Any:
        """The encoder on the branch's device, built at first use and kept."""
        if self.encoder is not None:
            return self.encoder
        precision = self.precision or current_encode_precision(self.device)
        if precision not in self._built:
            self._built = {precision: self.running()}
        return self._built[precision]


def head_of(method: Method, kind: str, tower: BackboneSpec, recipe: ModelConfig, dropout: float) -> ProjectionHead:
    """The head that a method puts on a tower."""
    if method.taught and kind == "vision":
        return make_teacher_head(recipe.image_head, tower)
    if recipe.anchors:
        return RelativeHead(tower.dim, recipe.anchors)
    hidden = method.hidden if kind == "text" else 0
    shape = HeadShape(recipe.dim, method.gated, method.members, hidden)
    if not (method.hidden or recipe.name_units):
        return Head(tower.dim, shape, dropout)
    names: NameUnits | ClassRows | None = None
    if recipe.name_units:
        names = (
            NameUnits(tower.dim, recipe.name_units, recipe.name_dim)
            if kind == "text"
            else ClassRows(tower.dim, recipe.name_dim)
        )
    return JointHead(tower.dim, shape, dropout, recipe.space or shape.dim * shape.members, names)


def make_teacher_head(text: str, tower: BackboneSpec) -> ProjectionHead:
    """A teacher's vision head, or none where its tower's vectors are aligned already; it is not trained."""
    if text in ("", "pass"):
        return IdentityHead()
    kind, *numbers = text.split()
    dim, members, *joint = map(int, numbers)
    shape = HeadShape(dim, kind.endswith("gated"), members)
    if not joint:
        return Head(tower.dim, shape, 0.0).requires_grad_(False)
    space, name_dim = joint
    return JointHead(tower.dim, shape, 0.0, space, ClassRows(tower.dim, name_dim) if name_dim else None).requires_grad_(
        False
    )


def install(site: TargetLayers, parts: Sequence[Part]) -> int:
    """Put a method's parts into a built tower and mark what is trained; returns how many parameters were added."""
    before = sum(p.numel() for p in site.encoder.parameters())
    trained = [p for part in parts for p in part(site)]
    site.encoder.requires_grad_(False)  # peft, for one, marks what it adds
    for parameter in trained:
        parameter.requires_grad_(True)
    site.encoder.eval()
    return sum(p.numel() for p in site.encoder.parameters()) - before


def counts(sides: Sequence[Branch], logits: Sequence[nn.Parameter]) -> dict[str, int | float]:
    """Trained and total parameters, and the trained share with and without the token table.

    The total is that of the model as trained: encoders without their classifier or pooler, new parts, heads with their
    class names, and what of the logits is trained.
    """
    everything = [p for side in sides for p in side.parameters()] + list(logits)
    heads = sum(p.numel() for side in sides for p in side.head.parameters()) + sum(
        p.numel() for p in logits if p.requires_grad
    )
    trained = sum(p.numel() for p in everything if p.requires_grad)
    names = sum(side.head.count_constants() for side in sides)
    total = sum(side.tower.parameters + side.added for side in sides) + heads + names
    table = sum(side.tower.embeddings for side in sides)
    trained_table = sum(
        side.tower.embeddings
        for side in sides
        if side.cut == 0 and all(p.requires_grad for p in side.encoder.trunk.opening)
    )
    return {
        "trained_parameters": trained,
        "total_parameters": total,
        "trained_share": trained / total,
        "trained_share_without_embeddings": (trained - trained_table) / (total - table),
    }
