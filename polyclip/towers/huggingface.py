"""Any transformers vision tower, by hub name or local folder: ViT, DINOv2, SigLIP's and CLIP's vision models.

Options: `pooling` (mean or cls), `revision`. Size, interpolation, mean and deviation come from the model's own image processor.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from polyclip.errors import DataError
from polyclip.hub import hub_identity, loading
from polyclip.records import Picture
from polyclip.tower import Tower, take
from polyclip.towers._pictures import Pictures
from polyclip.trunk import State, Whole
from polyclip.weights import without_memory

DEFAULTS = {"pooling": "cls", "revision": "main"}


def describe(argument: str, options: dict[str, str]) -> Tower:
    """The tower at `argument`; its configuration is read, its weights are not.

    Raises DataError for an unknown option, WeightsError when the model cannot be found.
    """
    from transformers import AutoConfig

    chosen = take(options, DEFAULTS, "huggingface")
    if chosen["pooling"] not in ("mean", "cls"):
        raise DataError(f"pooling is {chosen['pooling']!r}, expected mean or cls.")
    with loading("vision tower", argument):
        config = AutoConfig.from_pretrained(argument, revision=chosen["revision"], trust_remote_code=False)
        config = getattr(config, "vision_config", config)
        model = without_memory(partial(empty, config))
    given = "".join(f",{key}={value}" for key, value in chosen.items() if value != DEFAULTS[key])
    return Tower(
        name=f"huggingface:{argument}{given}",
        identity=hub_identity(argument, chosen["revision"], f"{chosen['pooling']} pooling"),
        dim=config.hidden_size,
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=0,
        build=lambda: build(argument, chosen),
    )


def empty(config: Any) -> Any:
    """The vision model of a configuration, without a pooling layer."""
    from transformers import AutoModel

    return without_pooler(AutoModel.from_config(config))


def without_pooler(model: Any) -> Any:
    """The vision part alone; features are pooled here."""
    model = getattr(model, "vision_model", model)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


def build(name: str, chosen: dict[str, str]) -> "HuggingFaceTower":
    """Load weights and image processor."""
    from transformers import AutoImageProcessor, AutoModel

    with loading("vision tower", name):
        kept = {"revision": chosen["revision"], "trust_remote_code": False}
        processor = AutoImageProcessor.from_pretrained(name, **kept)
        model = without_pooler(AutoModel.from_pretrained(name, use_safetensors=True, **kept))
    return HuggingFaceTower(model, processor, chosen["pooling"])


class HuggingFaceTower(Pictures):
    """Frozen tower in eval mode; the first token's vector or the mean over all tokens."""

    def __init__(self, model: Any, processor: Any, pooling: str) -> None:
        nn.Module.__init__(self)
        self.model, self.processor, self.pooling = model, processor, pooling
        self.dim = model.config.hidden_size
        self.trunk = Whole(model, self.pooled)
        self.requires_grad_(False).eval()

    def prepare(self, items: Sequence[Picture]) -> State:
        """Pixels by the model's own processor."""
        pixels: Tensor = self.processor([item.open().convert("RGB") for item in items], return_tensors="pt")["pixel_values"]
        return {"pixels": pixels}

    def pooled(self, inputs: State) -> State:
        """The model's last states, pooled; a feature map by its mean."""
        hidden = self.model(pixel_values=inputs["pixels"]).last_hidden_state
        if hidden.ndim == 4:
            return {"pooled": hidden.mean((2, 3))}
        return {"pooled": hidden[:, 0] if self.pooling == "cls" else hidden.mean(1)}
