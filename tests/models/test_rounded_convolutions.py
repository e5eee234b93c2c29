"""EfficientNet-Lite in bf16, where that is faster, and its blocks in strips: nearly the same features."""

import pytest
import torch

pytest.importorskip("matplotlib")

from matplotlib.cbook import get_sample_data
from PIL import Image
from torch.nn.functional import cosine_similarity

from polyclip.core import encode_precision
from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji
from polyclip.data.types import ImageSource
from polyclip.models.backbone import describe
from polyclip.models.encoding import build_encoder, encode_items
from polyclip.models.image_features import ImageFeatures
from polyclip.models.vision import _efficientnet_lite, _rounded, _strips
from polyclip.models.vision._fused import FusedConv2d

LEAST = 0.9999
FEW = 12  # drawings of each style


@pytest.fixture
def rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor where bf16 is faster."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no convolutions in bf16 on this CPU")
    monkeypatch.setattr(_efficientnet_lite, "is_worthwhile", lambda: True)


def encode(name: str, images: list[ImageSource], precision: str) -> torch.Tensor:
    return encode_items(build_encoder(describe("towers", name), precision=precision), images, lambda rows: None)


def draw(number: int) -> list[ImageSource]:
    folder = CORPORA / "emoji"
    return [image for style in emoji.styles(folder) for image in list(emoji.pictures(folder, style).values())[:number]]


def crop_photograph() -> list[ImageSource]:
    with get_sample_data("grace_hopper.jpg") as file, Image.open(file) as opened:
        photograph = opened.convert("RGB")
    width, height = photograph.size
    boxes = [(left, top, left + width // 2, top + height // 2) for left in (0, width // 4) for top in (0, height // 3)]
    crops = [photograph, *(photograph.crop(box) for box in boxes)]
    return [ImageSource(str(n), str(n), lambda crop=crop: crop) for n, crop in enumerate(crops)]


@pytest.mark.usefixtures("rounded")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite2:depths"])
def test_features_are_nearly_the_same(name: str, precision: str) -> None:
    images = [*draw(FEW), *crop_photograph()]
    wanted, found = encode(name, images, "fp32"), encode(name, images, precision)
    assert found.dtype == torch.float32 and not torch.equal(found, wanted)
    assert cosine_similarity(found, wanted).min() >= LEAST


@pytest.mark.usefixtures("rounded")
def test_what_replaces_the_map_and_the_first_stages_stay_float32() -> None:
    encoder = build_encoder(describe("towers", "efficientnet-lite0:,size=64"), precision="bf16")
    exact = {name for name, layer in encoder.model.named_modules() if getattr(layer, "dtype", 0) == torch.float32}
    assert {name for name in exact if not name.startswith(("conv_stem", "blocks.0", "blocks.1", "blocks.2"))} == {
        f"blocks.{stage}.0.{layer}" for stage in range(3, 7) for layer in ("depthwise", "narrow")
    }
    assert sum(getattr(layer, "dtype", 0) == torch.bfloat16 for layer in encoder.model.modules()) == 26


def test_all_stay_float32_where_bf16_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_efficientnet_lite, "is_worthwhile", lambda: False)
    name, images = "efficientnet-lite0:,size=64", draw(1)
    assert torch.equal(encode(name, images, "bf16"), encode(name, images, "fp32"))


@pytest.mark.parametrize(("seconds", "worthwhile"), [((1, 2), True), ((2, 1), False)])
def test_the_faster_format_is_measured(
    seconds: tuple[int, int], worthwhile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no convolutions in bf16 on this CPU")
    of = dict(zip((torch.bfloat16, torch.float32), seconds, strict=True))
    monkeypatch.setattr(_rounded, "measure_seconds", lambda block: of[block[0].dtype])
    assert _rounded.is_worthwhile.__wrapped__() == worthwhile
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not _rounded.is_worthwhile.__wrapped__()


def test_features_that_were_rounded_otherwise_are_not_taken() -> None:
    """Versions before the convolutions were rounded kept theirs in the same format's folder."""
    alone, both = (describe("towers", f"{name}") for name in ("efficientnet-lite0", "efficientnet-lite0+timm:resnet18"))
    for tower in (alone, both):
        short = tower.identity[:16]
        found = [ImageFeatures(tower, precision).path.parent.name for precision in ("fp32", "bf16", "int8")]
        assert found == [short, f"{short}-bf16-2", f"{short}-int8-2"]
    assert describe("encoders", "e5-small").name_features(encode_precision.BF16).endswith("-bf16")


@pytest.mark.parametrize("strip", [1, 100_000, 500_000])
@pytest.mark.parametrize("name", ["efficientnet-lite0:depths,size=96", "efficientnet-lite1:,size=100,layers=5"])
def test_strips_of_any_size_give_the_same(name: str, strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = draw(2)
    wanted = encode(name, images, "fp32")
    rows: list[int] = []
    own = FusedConv2d.forward
    monkeypatch.setattr(FusedConv2d, "forward", lambda self, maps: rows.append(maps.shape[2]) or own(self, maps))
    monkeypatch.setattr(_strips, "STRIP", strip)
    torch.testing.assert_close(encode(name, images, "fp32"), wanted, atol=1e-4, rtol=1e-4)
    assert min(rows[1:]) < (2 if strip == 1 else 40)
