"""Any transformers vision tower, by hub name or local folder: ViT, DINOv2, SigLIP's and CLIP's vision models.

Options: `pooling` (mean or cls), `revision`. Size, interpolation, mean and deviation come from the model's own image processor.
The families in FINAL_NORMS are cut at their layers (`polyclip.models.trunk`), any other runs as a whole.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from polyclip.data.types import ImageSource
from polyclip.errors import DataError, WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.converted_weights import without_memory
from polyclip.models.hf import hub_identity, loading
from polyclip.models.trunk import State, Trunk, Whole
from polyclip.models.trunk.vision import TransformersViT
from polyclip.models.vision._images import Pictures
from polyclip.models.vision._opened import edge_of_processor, opened
from polyclip.models.vocabulary.classes import Classifier, labels_of

DEFAULTS = {"pooling": "cls", "revision": "main"}
FINAL_NORMS = {  # of the last hidden state, by transformers' model type; CLIP's is taken before its norm
    "vit": "layernorm",
    "vit_msn": "layernorm",
    "deit": "layernorm",
    "dinov2": "layernorm",
    "dinov2_with_registers": "layernorm",
    "clip_vision_model": "",
    "metaclip_2_vision_model": "",
    "siglip_vision_model": "post_layernorm",
}


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """The tower at `argument`; its configuration is read, its weights are not.

    Raises DataError for an unknown option, WeightsError when the model cannot be found.
    """
    from transformers import AutoConfig

    chosen = take(options, DEFAULTS, "huggingface")
    if chosen["pooling"] not in ("mean", "cls"):
        raise DataError(f"pooling is {chosen['pooling']!r}, expected mean or cls.")
    with loading("vision tower", argument):
        config = AutoConfig.from_pretrained(argument, revision=chosen["revision"], trust_remote_code=False)
        model = without_memory(partial(empty, config))
    given = "".join(f",{key}={value}" for key, value in chosen.items() if value != DEFAULTS[key])
    return BackboneSpec(
        name=f"huggingface:{argument}{given}",
        identity=hub_identity(argument, chosen["revision"], f"{chosen['pooling']} pooling"),
        dim=length(model.config),
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=0,
        build=lambda: build(argument, chosen),
        classifier=partial(classifier, argument, chosen, config),
    )


def classifier(name: str, chosen: dict[str, str], config: Any) -> Classifier | None:
    """The classifier of a model that was saved as one for images, where it reads the vector that the tower gives."""
    from transformers import AutoModelForImageClassification

    saved_as = (getattr(config, "architectures", None) or [""])[0]
    if not saved_as.endswith("ForImageClassification"):
        return None
    with loading("vision tower", name):
        model = AutoModelForImageClassification.from_pretrained(
            name, revision=chosen["revision"], use_safetensors=True, trust_remote_code=False
        )
    last: Any = getattr(model, "classifier", None)
    last = last[-1] if isinstance(last, nn.Sequential) else last
    if not isinstance(last, nn.Linear) or last.in_features != length(model.config):
        return None
    names = [str(config.id2label[number]) for number in sorted(config.id2label)]
    return Classifier(labels_of(names), last.weight.detach().float())


def empty(config: Any) -> Any:
    """The vision part of a configuration's model, as `trimmed`."""
    from transformers import AutoModel

    return trimmed(AutoModel.from_config(config))


def length(config: Any) -> int:
    """Of a token's vector, or the channels of the last feature map.

    Raises WeightsError for a model that has neither.
    """
    if hasattr(config, "hidden_size"):
        return config.hidden_size
    if hasattr(config, "hidden_sizes"):
        return config.hidden_sizes[-1]
    raise WeightsError(
        f"A transformers model of type {config.model_type!r} is no vision tower: its configuration has no hidden_size. Choose another model."
    )


def trimmed(model: Any) -> Any:
    """The vision part alone, without what takes no part in the last hidden state: features are pooled here."""
    model = getattr(model, "vision_model", model)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    if model.config.model_type not in FINAL_NORMS:
        return model
    if getattr(model.embeddings, "mask_token", None) is not None:
        model.embeddings.mask_token = None  # of pretraining
    if getattr(model, "head", None) is not None:
        model.head, model.use_head = None, False  # SigLIP's attention pooling
    if FINAL_NORMS[model.config.model_type] == "":
        model.post_layernorm = nn.Identity()  # of CLIP's own pooled vector
    return model


def build(name: str, chosen: dict[str, str]) -> "HuggingFaceTower":
    """Load weights and image processor."""
    from transformers import AutoImageProcessor, AutoModel

    with loading("vision tower", name):
        kept = {"revision": chosen["revision"], "trust_remote_code": False}
        processor = AutoImageProcessor.from_pretrained(name, **kept)
        model = trimmed(
            AutoModel.from_pretrained(name, use_safetensors=True, **kept).float()
        )  # some are kept in half precision
    return HuggingFaceTower(model, processor, chosen["pooling"])


class HuggingFaceTower(Pictures):
    """Frozen tower in eval mode; the first token's vector or the mean over all tokens."""

    def __init__(self, model: Any, processor: Any, pooling: str) -> None:
        nn.Module.__init__(self)
        self.model, self.processor, self.pooling = model, processor, pooling
        self.dim = length(model.config)
        self.trunk = self.trunk_of(model)
        self.requires_grad_(False).eval()

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """Pixels by the model's own processor."""
        pixels: Tensor = self.processor(opened(items, edge_of_processor(self.processor)), return_tensors="pt")[
            "pixel_values"
        ]
        return {"pixels": pixels}

    def trunk_of(self, model: Any) -> Trunk:
        """The family a transformers vision model belongs to."""
        norm = FINAL_NORMS.get(model.config.model_type)
        return Whole(model, self.whole) if norm is None else TransformersViT(model, norm, self.pool)

    def whole(self, inputs: State) -> State:
        """The last hidden state of a model that is not cut, pooled."""
        return {"pooled": self.pool(self.model(pixel_values=inputs["pixels"]).last_hidden_state)}

    def pool(self, hidden: Tensor) -> Float[Tensor, "picture dim"]:
        """One vector of a picture's tokens; of a feature map, its mean."""
        if hidden.ndim == 4:
            return hidden.mean((2, 3))
        return hidden[:, 0] if self.pooling == "cls" else hidden.mean(1)
