"""Contenders for pictures: EfficientNet-Lite0's pooled vector, without a head."""

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

from polyclip.data.images import decoded, wanted
from polyclip.data.types import ImageSource
from polyclip.models.backbone import describe
from speed._machine import counter
from speed._material import TIMM_NAME, TOWER, e5, load_trunk, pictures, pixels
from speed._worker import Turn, repeat

BATCH = 32
STYLE = "noto"
LARGE = 8  # pictures of 12 megapixels that are decoded in a round


def tower_name(settings: dict[str, Any]) -> str:
    """The tower at the run's size of pictures."""
    return f"{TOWER}:,size={settings['pixels']}"


def path(settings: dict[str, Any], style: str) -> Path:
    """Bytes and the reference's vectors of a style's pictures."""
    return Path(settings["work"]) / f"image-{style}.safetensors"


def plain() -> Any:
    """timm's model with the embedded weights."""
    import timm

    model: Any = timm.create_model(TIMM_NAME, num_classes=0)
    load_trunk(model)
    return model.eval()


@torch.inference_mode()
def reference(settings: dict[str, Any], turn: Turn) -> None:
    """timm in float32, one picture at a time, and the operations that each needs."""
    tower, model = describe("towers", tower_name(settings)).build(), plain()
    for style in (STYLE, "openmoji"):
        raw = tower.prepare(pictures(settings["pictures"], style))["bytes"]
        with counter() as counted:
            vectors = torch.cat([model(pixels(row[None])) for row in raw])
        save_file({"bytes": raw, "vectors": normalize(vectors, dim=1)}, path(settings, style))
    turn(flops=[counted.get_total_flops() / settings["pictures"]] * settings["pictures"])


def measured(settings: dict[str, Any], turn: Turn, encode: Callable[[], Tensor], style: str = STYLE) -> None:
    """Rounds of `encode`."""
    with torch.inference_mode():
        cosine = float((normalize(encode().float(), dim=1) * load_file(path(settings, style))["vectors"]).sum(1).min())
        repeat(encode, turn, items=settings["pictures"], places=list(range(settings["pictures"])), cosine=cosine)


def polyclip(settings: dict[str, Any], turn: Turn) -> None:
    """The vision side of an aligner, without its head: from a picture that is opened on the clock, or was before; resized in any case."""
    from polyclip.models.aligner import PolyCLIP
    from polyclip.models.branch import ModelConfig

    side = PolyCLIP(ModelConfig(method="heads", vision_tower=tower_name(settings))).vision
    found = pictures(settings["pictures"], settings["style"] or STYLE)
    if not settings["style"]:
        opened = {picture.name: picture.open() for picture in found}
        found = [replace(picture, open=partial(opened.__getitem__, picture.name)) for picture in found]
    measured(settings, turn, lambda: side.pooled(found, "pictures", keep=False), settings["style"] or STYLE)


def ready(settings: dict[str, Any]) -> list[Tensor]:
    """Batches of float tensors."""
    return [pixels(part) for part in load_file(path(settings, STYLE))["bytes"].split(BATCH)]


def timm_model(settings: dict[str, Any], turn: Turn) -> None:
    """Its forward in one of three forms, on tensors."""
    model, batches = plain(), ready(settings)
    if settings["form"] != "eager":
        model = model.to(memory_format=torch.channels_last)
        batches = [batch.contiguous(memory_format=torch.channels_last) for batch in batches]
    if settings["form"] == "compiled":
        model = torch.compile(model, dynamic=False)
    measured(settings, turn, lambda: torch.cat([model(batch) for batch in batches]))


def open_clip(settings: dict[str, Any], turn: Turn) -> None:
    """Its image tower on tensors; its projection is left out so that vectors can be compared."""
    from open_clip import create_model

    from speed._training_open_clip import NAME, register

    register(Path(mkdtemp(dir=settings["work"])), e5(settings), settings["pixels"], 77)
    model: Any = create_model(NAME).eval()
    load_trunk(model.visual.trunk)
    model.visual.head = nn.Identity()
    batches = ready(settings)
    measured(settings, turn, lambda: torch.cat([model.encode_image(batch) for batch in batches]))


def transformers(settings: dict[str, Any], turn: Turn) -> None:
    """Its wrapper of timm on tensors."""
    from transformers import TimmWrapperConfig, TimmWrapperModel

    model: Any = TimmWrapperModel(TimmWrapperConfig(architecture=TIMM_NAME)).eval()
    load_trunk(model.timm_model)
    batches = ready(settings)
    measured(settings, turn, lambda: torch.cat([model(pixel_values=batch).pooler_output for batch in batches]))


def decoding(settings: dict[str, Any], turn: Turn) -> None:
    """A file's bytes to pixels of the tower's size, in one thread; large JPEG as the tower asks for it, and whole."""
    torch.set_num_threads(1)
    kind, preprocessing = settings["kind"], describe("towers", tower_name(settings)).build().preprocessing
    large = "megapixels" in kind
    found = pictures(LARGE if large else settings["pictures"], "openmoji" if kind == "SVG" else STYLE)
    if kind.startswith("JPEG"):
        found = [as_jpeg(picture, (4000, 3000) if large else (640, 480)) for picture in found]

    def opened() -> list[Image.Image]:
        with nullcontext() if kind.endswith("whole") else wanted(preprocessing.size):
            return [picture.open() for picture in found]

    repeat(lambda: preprocessing.bytes_of(opened()), turn, items=len(found))


def as_jpeg(picture: ImageSource, size: tuple[int, int]) -> ImageSource:
    """The same picture as JPEG: of 640 x 480 pixels, as photographs of benchmarks are, or of 12 megapixels, as telephones take them."""
    buffer = io.BytesIO()
    picture.open().resize(size).save(buffer, "JPEG", quality=90)
    return replace(picture, open=partial(decoded, buffer.getvalue(), picture.name))
