"""Contenders for image encoding: EfficientNet-Lite0's pooled features, without a projection head."""

import io
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from polyclip.data.images import decode_for_edge, decode_image
from polyclip.data.types import ImageSource
from polyclip.models.backbone import describe
from polyclip.training.flops import make_flop_counter
from speed._material import TIMM_NAME, TOWER, load_images, load_trunk, text_encoder_folder, to_pixels
from speed._worker import Turn, repeat_rounds

BATCH = 32
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}
STYLE = "noto"
LARGE = 8  # images of 12 megapixels that are decoded in a round


def name_tower(settings: dict[str, Any]) -> str:
    """Return the vision encoder's name with the run's image size."""
    return f"{TOWER}:,size={settings['pixels']}"


def reference_path(settings: dict[str, Any]) -> Path:
    """Return the file with bytes and reference features of the images."""
    return Path(settings["work"]) / "image.safetensors"


def build_timm_model() -> Any:
    """Build timm's model with the embedded weights."""
    import timm

    model: Any = timm.create_model(TIMM_NAME, num_classes=0)
    load_trunk(model)
    return model.eval()


@torch.inference_mode()
def reference(settings: dict[str, Any], turn: Turn) -> None:
    """Encode with timm in float32, one image at a time, and count the operations of each."""
    tower, model = describe("towers", name_tower(settings)).build(), build_timm_model()
    raw = tower.prepare(load_images(settings["pictures"], STYLE))["bytes"]
    with make_flop_counter() as counted:
        vectors = torch.cat([model(to_pixels(row[None])) for row in raw])
    save_file({"bytes": raw, "vectors": normalize(vectors, dim=1)}, reference_path(settings))
    turn(flops=[counted.get_total_flops() / settings["pictures"]] * settings["pictures"])


def measure_encoding(settings: dict[str, Any], turn: Turn, encode: Callable[[], Tensor]) -> None:
    """Measure rounds of `encode` and its cosine to the reference."""
    with torch.inference_mode():
        cosine = float(
            (normalize(encode().float(), dim=1) * load_file(reference_path(settings))["vectors"]).sum(1).min()
        )
        repeat_rounds(encode, turn, items=settings["pictures"], places=list(range(settings["pictures"])), cosine=cosine)


def polyclip(settings: dict[str, Any], turn: Turn) -> None:
    """Encode with the vision branch of an aligner, without its head; images are opened within or before the timing, and
    always resized within; in a format.
    """
    from polyclip.models.aligner import PolyCLIP
    from polyclip.models.config import ModelConfig

    branch = PolyCLIP(ModelConfig(method="heads", vision_tower=name_tower(settings))).vision
    branch.precision = settings["format"]
    found = load_images(settings["pictures"], STYLE)
    if not settings["style"]:
        opened = {image.name: image.open() for image in found}
        found = [replace(image, open=partial(opened.__getitem__, image.name)) for image in found]

    def encode() -> Tensor:
        return branch.encode_features(found, "pictures", keep=False)

    measure_encoding(settings, turn, encode)


def load_batches(settings: dict[str, Any]) -> list[Tensor]:
    """Load the images as batches of float tensors."""
    return [to_pixels(part) for part in load_file(reference_path(settings))["bytes"].split(BATCH)]


def timm_model(settings: dict[str, Any], turn: Turn) -> None:
    """Encode tensors with timm's forward in one of three forms, in a format."""
    kind = FORMATS[settings["format"]]
    model, batches = build_timm_model().to(kind), [batch.to(kind) for batch in load_batches(settings)]
    if settings["form"] != "eager":
        model = model.to(memory_format=torch.channels_last)
        batches = [batch.contiguous(memory_format=torch.channels_last) for batch in batches]
    if settings["form"] == "compiled":
        model = torch.compile(model, dynamic=False)
    measure_encoding(settings, turn, lambda: torch.cat([model(batch) for batch in batches]))


def open_clip(settings: dict[str, Any], turn: Turn) -> None:
    """Encode tensors with open_clip's vision encoder, without its projection so that features are comparable."""
    from open_clip import create_model

    from speed._training_open_clip import NAME, register_model

    register_model(Path(mkdtemp(dir=settings["work"])), text_encoder_folder(settings), settings["pixels"], 77)
    kind = FORMATS[settings["format"]]
    model: Any = create_model(NAME).eval()
    load_trunk(model.visual.trunk)
    model.visual.head = nn.Identity()
    model, batches = model.to(kind), [batch.to(kind) for batch in load_batches(settings)]
    measure_encoding(settings, turn, lambda: torch.cat([model.encode_image(batch) for batch in batches]))


def transformers(settings: dict[str, Any], turn: Turn) -> None:
    """Encode tensors with transformers' wrapper of timm."""
    from transformers import TimmWrapperConfig, TimmWrapperModel

    model: Any = TimmWrapperModel(TimmWrapperConfig(architecture=TIMM_NAME)).eval()
    load_trunk(model.timm_model)
    kind = FORMATS[settings["format"]]
    model, batches = model.to(kind), [batch.to(kind) for batch in load_batches(settings)]
    measure_encoding(settings, turn, lambda: torch.cat([model(pixel_values=batch).pooler_output for batch in batches]))


def decoding(settings: dict[str, Any], turn: Turn) -> None:
    """Decode files to pixels of the encoder's size in one thread; large JPEG both reduced and whole."""
    torch.set_num_threads(1)
    kind, preprocessing = settings["kind"], describe("towers", name_tower(settings)).build().preprocessing
    large = "megapixels" in kind
    found = load_images(LARGE if large else settings["pictures"], STYLE)
    if kind.startswith("JPEG"):
        found = [convert_to_jpeg(image, (4000, 3000) if large else (640, 480)) for image in found]

    def opened() -> list[Image.Image]:
        with nullcontext() if kind.endswith("whole") else decode_for_edge(preprocessing.size):
            return [image.open() for image in found]

    repeat_rounds(lambda: preprocessing.to_bytes(opened()), turn, items=len(found))


def convert_to_jpeg(image: ImageSource, size: tuple[int, int]) -> ImageSource:
    """Convert an image to JPEG: 640 x 480 pixels, like photographs of benchmarks, or 12 megapixels, like those of
    phones.
    """
    buffer = io.BytesIO()
    image.open().resize(size).save(buffer, "JPEG", quality=90)
    return replace(image, open=partial(decode_image, buffer.getvalue(), image.name))
