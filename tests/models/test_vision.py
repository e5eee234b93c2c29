"""Vision towers: real ones that recognise things, and any timm or transformers model on tiny random weights the test
writes.
"""

import re
import weakref
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import timm
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo

from polyclip.core.toml import CORPORA
from polyclip.data.images import decode_for_edge, open_image
from polyclip.data.readers.emoji import pictures
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, UnknownName, WeightsError
from polyclip.models.backbone import describe
from polyclip.models.encoding import build_encoder, encode_items, get_inference_form
from polyclip.models.preprocessing import Preprocessing
from polyclip.models.vision import _efficientnet_lite
from polyclip.models.vision._fused import FusedConv2d

RECOGNISED = {"2602": "umbrella", "1F528": "hammer", "1F3BB": "violin", "1F34C": "banana"}


def picture(image: Image.Image, key: str = "") -> ImageSource:
    return ImageSource(key, key, lambda: image)


@pytest.fixture(scope="module")
def openmoji() -> dict[str, ImageSource]:
    return pictures(CORPORA / "emoji", "openmoji")


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_a_real_tower_recognises_things(name: str, openmoji: dict[str, ImageSource]) -> None:
    """A wrong normalisation or a permuted state dict turns this red."""
    tower = describe("towers", name).build()
    names = ImageNetInfo()
    with torch.inference_mode():
        top = tower.classifier(tower(**tower.prepare([openmoji[c] for c in RECOGNISED]))).topk(5).indices
    found = [
        any(thing in names.index_to_description(int(i)) for i in row)
        for row, thing in zip(top, RECOGNISED.values(), strict=True)
    ]
    assert sum(found) >= 3, found


def test_wrong_mean_would_be_noticed(openmoji: dict[str, ImageSource]) -> None:
    tower = describe("towers", "efficientnet-lite0").build()
    tower.preprocessing = Preprocessing(224, "bicubic", (0.5,) * 3, (8.0,) * 3)
    names = ImageNetInfo()
    with torch.inference_mode():
        top = tower.classifier(tower(**tower.prepare([openmoji[c] for c in RECOGNISED]))).topk(5).indices
    found = [
        any(thing in names.index_to_description(int(i)) for i in row)
        for row, thing in zip(top, RECOGNISED.values(), strict=True)
    ]
    assert sum(found) < 3


def test_a_large_photograph_is_decoded_smaller_and_encoded_the_same(tmp_path: Path) -> None:
    """A real one, matplotlib's, enlarged to 12 megapixels: a quarter of the pixels is enough. A PNG and a small JPEG
    are opened as they are.
    """
    large, png, small, odd = (tmp_path / name for name in ("large.jpg", "large.png", "small.jpg", "odd.jpg"))
    with get_sample_data("grace_hopper.jpg") as file, Image.open(file) as photograph:
        whole = photograph.convert("RGB").resize((3000, 4000), Image.Resampling.LANCZOS)
    for path, size in ((large, (3000, 4000)), (png, (3000, 4000)), (small, (600, 800)), (odd, (3001, 4000))):
        whole.resize(size).save(path, quality=90)
    with decode_for_edge(224):
        assert [open_image(path).size for path in (large, png, small, odd)] == [
            (1500, 2000),
            (3000, 4000),
            (600, 800),
            (3001, 4000),
        ]
    for edge, size in ((100, (750, 1000)), (376, (3000, 4000)), (0, (375, 500))):
        with decode_for_edge(edge):
            assert open_image(large).size == size
    assert open_image(large).size == (3000, 4000)
    tower = describe("towers", "efficientnet-lite0:,size=224").build()
    lighter, heavier = (
        tower.prepare([ImageSource("", "", partial(open_image, large))]),
        tower.prepare([picture(open_image(large))]),
    )
    assert 0 < (lighter["bytes"].float() - heavier["bytes"].float()).abs().mean() < 0.5
    with torch.inference_mode():
        assert torch.cosine_similarity(tower(**lighter), tower(**heavier)) > 0.9998
    large.write_bytes(large.read_bytes()[:-20_000])
    with decode_for_edge(224), pytest.raises(DataError, match="damaged or truncated"):
        open_image(large)


@pytest.mark.parametrize(
    "name", ["efficientnet-lite0", "efficientnet-lite2:depths", "efficientnet-lite0+efficientnet-lite1"]
)
def test_folded_and_threaded_encoding_is_the_same_function(name: str, openmoji: dict[str, ImageSource]) -> None:
    tower = describe("towers", name)
    built = tower.build()
    items = list(openmoji.values())[500:507]
    with torch.inference_mode():
        plain = torch.cat([built(**built.prepare([item])) for item in items])
    assert plain.shape == (7, tower.dim)
    fast = encode_items(built.get_inference_form(), items, lambda rows: None)
    torch.testing.assert_close(fast, plain, atol=2e-4, rtol=1e-4)


def test_depths_begin_with_the_pooled_vector_timm_gives(openmoji: dict[str, ImageSource]) -> None:
    items = [openmoji["1F436"]]
    plain, deep = (describe("towers", f"efficientnet-lite0{d}").build() for d in ("", ":depths"))
    with torch.inference_mode():
        torch.testing.assert_close(
            deep(**deep.prepare(items))[:, :1280], plain(**plain.prepare(items)), atol=1e-5, rtol=1e-4
        )


def test_parameters_are_those_of_the_model_without_classifier() -> None:
    tower = describe("towers", "efficientnet-lite0")
    assert tower.parameters == sum(
        p.numel() for p in timm.create_model("tf_efficientnet_lite0", num_classes=0).parameters()
    )


def test_a_state_dict_of_another_shape_is_refused(tmp_path: Path) -> None:
    torch.save({"stem": torch.zeros(3)}, tmp_path / "wrong.pth")
    with pytest.raises(WeightsError, match="do not have, in order, the shapes"):
        _efficientnet_lite.convert(0, tmp_path / "wrong.pth", tmp_path)


def test_preprocessing_is_pillow_resize_and_the_towers_own_numbers() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (50, 100, 3), dtype=np.uint8))
    found = Preprocessing(20, "bicubic", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))([image])
    middle = image.resize((40, 20), Image.Resampling.BICUBIC).crop((10, 0, 30, 20))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    wanted = (torch.tensor(np.asarray(middle)).permute(2, 0, 1) / 255 - mean) / std
    assert found.shape == (1, 3, 20, 20)
    assert (
        found[0] - wanted
    ).abs().max() < 0.06  # resampling only the box rounds differently by at most a few grey levels


@pytest.mark.parametrize("size", [(7, 300), (300, 7), (1, 1), (224, 224)])
def test_preprocessing_takes_any_shape(size: tuple[int, int]) -> None:
    assert Preprocessing(32, "bilinear", (0.5,) * 3, (0.5,) * 3)([Image.new("RGB", size)]).shape == (1, 3, 32, 32)


def test_timm_reads_local_weights_and_its_own_configuration(tmp_path: Path) -> None:
    """Random tiny weights: the hub that has real ones is out of reach here."""
    model = timm.create_model("test_vit", pretrained=False).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    tower = describe("towers", f"timm:test_vit,weights={tmp_path / 'w.safetensors'}")
    built = tower.build()
    config = timm.data.resolve_model_data_config(model)
    assert (built.preprocessing.mean, built.preprocessing.size) == (tuple(config["mean"]), config["input_size"][-1])
    inputs = built.prepare([picture(Image.new("RGB", (99, 60), "red"))])
    size = config["input_size"][-1]
    assert set(inputs) == {"bytes"} and (inputs["bytes"].dtype, inputs["bytes"].shape) == (
        torch.uint8,
        (1, size, size, 3),
    )
    pixels = built.start(inputs)["pixels"]
    torch.testing.assert_close(pixels, built.preprocessing([Image.new("RGB", (99, 60), "red")]))
    with torch.inference_mode():
        torch.testing.assert_close(built(**inputs), model.forward_head(model.forward_features(pixels), pre_logits=True))
    assert built(**inputs).shape == (1, tower.dim)


def test_a_convolutional_timm_model_reads_images_of_a_size_that_is_asked_for(tmp_path: Path) -> None:
    """Random tiny weights: the hub that has real ones is out of reach here."""
    model = timm.create_model("test_efficientnet", pretrained=False).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    name = f"timm:test_efficientnet,weights={tmp_path / 'w.safetensors'}"
    smaller, own = describe("towers", f"{name},size=96"), describe("towers", name)
    assert (smaller.name, own.name) == (f"{name},size=96", name) and smaller.identity != own.identity
    assert describe("towers", f"{name},size=160").identity == own.identity  # the size that it has
    inputs = smaller.build().prepare([picture(Image.new("RGB", (99, 60), "red"))])
    assert inputs["bytes"].shape == (1, 96, 96, 3)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("test_vit,size=96", "timm:test_vit reads images of 160 pixels alone, found size=96: leave out the size."),
        ("swin_tiny_patch4_window7_224,size=96", "reads images of 224 pixels alone, found size=96"),
        ("resnet18,size=32", "timm:resnet18: size is '32', expected pixels: a multiple of 4 between 64 and 512."),
        ("resnet18,size=big", "size is 'big', expected pixels"),
    ],
)
def test_a_size_that_cannot_be(asked: str, said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        describe("towers", f"timm:{asked}")


def test_timm_errors(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="resnet18"):
        describe("towers", "timm:resnet_18")
    with pytest.raises(WeightsError, match="missing"):
        describe("towers", "timm:resnet18,weights=nowhere.safetensors")
    with pytest.raises(DataError, match="no option 'weigth'"):
        describe("towers", "timm:resnet18,weigth=x")
    (tmp_path / "bad.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match="Cannot load vision encoder"):
        describe("towers", f"timm:test_vit,weights={tmp_path / 'bad.safetensors'}").build()


@pytest.fixture
def tiny_vit(tmp_path: Path) -> Path:
    """Random tiny weights in transformers' own layout."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.1] * 3, image_std=[0.9] * 3).save_pretrained(
        tmp_path
    )
    return tmp_path


def test_huggingface_tower_is_transformers_output(tiny_vit: Path) -> None:
    from transformers import ViTModel

    tower = describe("towers", f"huggingface:{tiny_vit},pooling=mean")
    built = tower.build()
    inputs = built.prepare([picture(Image.new("RGB", (40, 50), "white"))])
    assert inputs["pixels"].max().item() == pytest.approx((1 - 0.1) / 0.9)  # its own mean and deviation, not CLIP's
    with torch.inference_mode():
        wanted = (
            ViTModel.from_pretrained(tiny_vit, add_pooling_layer=False)
            .eval()(pixel_values=inputs["pixels"])
            .last_hidden_state.mean(1)
        )
        torch.testing.assert_close(built(**inputs), wanted)
    assert tower.dim == 32


def test_a_hub_name_that_cannot_be_reached_is_one_clear_sentence() -> None:
    for kind, name in (("towers", "google/vit-base-patch16-224"), ("encoders", "intfloat/multilingual-e5-base")):
        with pytest.raises(WeightsError) as caught:
            describe(kind, name)
        assert name in str(caught.value) and "local folder" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_unknown_towers_suggest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'efficientnet-lite2'"):
        describe("towers", "efficientnet-lite3")
    with pytest.raises(DataError, match="joins vision encoders and was given none"):
        describe("towers", "side-by-side")
    with pytest.raises(UnknownName, match="'xlm-roberta-base'.*written huggingface:NAME"):
        describe("encoders", "xlm-roberta-base")


@pytest.mark.parametrize(
    "name",
    ["efficientnet-lite0:depths,size=96", "efficientnet-lite0:,size=100", "efficientnet-lite1:,size=132,layers=4"],
)
def test_the_form_for_cpus_is_the_same_function(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With even and odd maps, where TensorFlow's padding differs, and with and without oneDNN's operations."""
    spec = describe("towers", name)
    items = list(pictures(CORPORA / "emoji", "noto").values())[:5]
    wanted = encode_items(get_inference_form(spec.build()), items, lambda rows: None)
    fused = build_encoder(spec, precision="fp32")
    assert not any(type(module).__name__ == "Conv2dSame" for module in fused.modules())
    assert sum(type(module) is FusedConv2d for module in fused.modules()) > 9
    assert not any(type(module) is torch.nn.Conv2d for module in fused.modules())
    torch.testing.assert_close(encode_items(fused, items, lambda rows: None), wanted, atol=1e-4, rtol=1e-4)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = build_encoder(spec, precision="fp32")
    assert not any(type(module) is FusedConv2d for module in plain.modules())
    torch.testing.assert_close(encode_items(plain, items, lambda rows: None), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["efficientnet-lite0:depths,size=96", "efficientnet-lite0:,size=96,layers=3"])
def test_small_maps_of_several_batches_go_through_the_last_stages_together(name: str) -> None:
    encoder = build_encoder(describe("towers", name), precision="fp32")
    inputs = encoder.prepare(list(pictures(CORPORA / "emoji", "noto").values())[:11])
    seen: dict[str, list[int]] = {"first": [], "last": []}
    stages = {"first": encoder.model.conv_stem, "last": encoder.model.blocks[-1]}
    for place, stage in stages.items():
        stage.register_forward_pre_hook(lambda _, given, place=place: seen[place].append(len(given[0])))
    with torch.inference_mode():
        found = encoder(**inputs)
    assert encoder.budget == 16
    assert seen == ({"first": [8, 3], "last": [11]} if "depths" in name else {"first": [11], "last": [11]})
    with torch.inference_mode():
        alone = torch.cat([encoder(bytes=row[None]) for row in inputs["bytes"]])
    torch.testing.assert_close(found, alone, atol=1e-4, rtol=1e-4)


def test_a_batch_holds_few_images_of_full_size() -> None:
    """A photograph of 12 megapixels that is no JPEG takes 36 MB, and a batch has 16."""
    opened: list[weakref.ref[Image.Image]] = []
    most = 0

    def open_one() -> Image.Image:
        nonlocal most
        image = Image.new("RGB", (300, 200))
        opened.append(weakref.ref(image))
        most = max(most, sum(one() is not None for one in opened))
        return image

    encoder = describe("towers", "efficientnet-lite0:,size=64").build()
    assert len(encoder.prepare([ImageSource(str(n), str(n), open_one) for n in range(16)])["bytes"]) == 16
    assert most <= 2
