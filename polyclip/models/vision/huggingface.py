"""Any transformers vision encoder, by hub name or local folder: ViT, DINOv2, SigLIP's and CLIP's vision models.

Options: `pooling` (mean or cls), `revision`. Size, interpolation, mean and deviation come from the model's own image
processor. The families in FINAL_NORMS can be cut at their layers (`polyclip.models.trunk`); any other runs as a whole.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from polyclip.data.types import ImageSource
from polyclip.errors import DataError, WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.hf import check_sizes, compute_identity, explain_loading_errors
from polyclip.models.modules import find_module
from polyclip.models.shapes import build_without_memory
from polyclip.models.trunk import State, Trunk, WholeModel
from polyclip.models.trunk.vision import TransformersViT
from polyclip.models.vision._images import ImageEncoder
from polyclip.models.vision._opened import get_processor_edge, open_images
from polyclip.models.vocabulary.classes import Classifier, match_labels

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
    """Describe the encoder; its configuration is read, its weights are not.

    Args:
        argument: Hub name or folder.
        options: `pooling`, `revision`.

    Returns:
        Its description.

    Raises:
        DataError: An option or a pooling does not exist.
        WeightsError: The model cannot be found or is not a vision encoder.

    """
    from transformers import AutoConfig

    chosen = take(options, DEFAULTS, "huggingface")
    if chosen["pooling"] not in ("mean", "cls"):
        raise DataError(f"pooling is {chosen['pooling']!r}, expected mean or cls.")
    with explain_loading_errors("vision encoder", argument):
        config = AutoConfig.from_pretrained(argument, revision=chosen["revision"], trust_remote_code=False)
        check_sizes(config)
        model = build_without_memory(partial(build_empty, config))
    given = "".join(f",{key}={value}" for key, value in chosen.items() if value != DEFAULTS[key])
    return BackboneSpec(
        name=f"huggingface:{argument}{given}",
        identity=compute_identity(argument, chosen["revision"], f"{chosen['pooling']} pooling"),
        dim=get_feature_dim(model.config),
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=0,
        build=lambda: build(argument, chosen),
        classifier=partial(load_classifier, argument, chosen, config),
    )


def load_classifier(name: str, chosen: dict[str, str], config: Any) -> Classifier | None:
    """Load the model's image classifier, where it was saved with one that reads these features."""
    from transformers import AutoModelForImageClassification

    saved_as = (getattr(config, "architectures", None) or [""])[0]
    if not saved_as.endswith("ForImageClassification"):
        return None
    with explain_loading_errors("vision encoder", name):
        model = AutoModelForImageClassification.from_pretrained(
            name, revision=chosen["revision"], use_safetensors=True, trust_remote_code=False
        )
    last = find_module(model, "classifier")
    last = last[-1] if isinstance(last, nn.Sequential) else last
    if not isinstance(last, nn.Linear) or last.in_features != get_feature_dim(model.config):
        return None
    names = [str(config.id2label[number]) for number in sorted(config.id2label)]
    return Classifier(match_labels(names), last.weight.detach().float())


def build_empty(config: Any) -> Any:
    """Build the vision encoder of a configuration without weights, as `trim` leaves it."""
    from transformers import AutoModel

    return trim(AutoModel.from_config(config))


def get_feature_dim(config: Any) -> int:
    """Length of a token's hidden state, or channels of the last feature map.

    Raises:
        WeightsError: The model has neither.

    """
    if hasattr(config, "hidden_size"):
        return config.hidden_size
    if hasattr(config, "hidden_sizes"):
        return config.hidden_sizes[-1]
    raise WeightsError(
        f"A transformers model of type {config.model_type!r} is not a vision encoder: its configuration has no "
        "hidden_size. Choose another model."
    )


def trim(model: Any) -> Any:
    """Keep the vision encoder alone, without what does not affect the last hidden state: features are pooled here."""
    inner = find_module(model, "vision_model")
    model = model if inner is None else inner
    if find_module(model, "pooler") is not None:
        model.pooler = None
    if model.config.model_type not in FINAL_NORMS:
        return model
    if getattr(model.embeddings, "mask_token", None) is not None:
        model.embeddings.mask_token = None  # of pretraining
    if find_module(model, "head") is not None:
        model.head, model.use_head = None, False  # SigLIP's attention pooling
    if FINAL_NORMS[model.config.model_type] == "":
        model.post_layernorm = nn.Identity()  # of CLIP's own pooled output
    return model


def build(name: str, chosen: dict[str, str]) -> "HuggingFaceVisionEncoder":
    """Load weights and image processor."""
    from transformers import AutoImageProcessor, AutoModel

    with explain_loading_errors("vision encoder", name):
        kept = {"revision": chosen["revision"], "trust_remote_code": False}
        processor = AutoImageProcessor.from_pretrained(name, **kept)
        model = trim(
            AutoModel.from_pretrained(name, use_safetensors=True, **kept).float()
        )  # some are kept in half precision
    return HuggingFaceVisionEncoder(model, processor, chosen["pooling"])


class HuggingFaceVisionEncoder(ImageEncoder):
    """Frozen vision encoder in eval mode: the first token's hidden state or the mean over all tokens."""

    def __init__(self, model: Any, processor: Any, pooling: str) -> None:
        nn.Module.__init__(self)
        self.model, self.processor, self.pooling = model, processor, pooling
        self.dim = get_feature_dim(model.config)
        self.trunk = self.choose_trunk(model)
        self.requires_grad_(False).eval()

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """Pixels by the model's own processor."""
        pixels: Tensor = self.processor(open_images(items, get_processor_edge(self.processor)), return_tensors="pt")[
            "pixel_values"
        ]
        return {"pixels": pixels}

    def choose_trunk(self, model: Any) -> Trunk:
        """Wrap a transformers vision model in the trunk of its family."""
        norm = FINAL_NORMS.get(model.config.model_type)
        return WholeModel(model, self.run_whole) if norm is None else TransformersViT(model, norm, self.pool)

    def run_whole(self, inputs: State) -> State:
        """Pooled last hidden state of a model that cannot be cut."""
        return {"pooled": self.pool(self.model(pixel_values=inputs["pixels"]).last_hidden_state)}

    def pool(self, hidden: Tensor) -> Float[Tensor, "image dim"]:
        """Pool an image's tokens to its features; of a feature map, its mean."""
        if hidden.ndim == 4:
            return hidden.mean((2, 3))
        return hidden[:, 0] if self.pooling == "cls" else hidden.mean(1)
