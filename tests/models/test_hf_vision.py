"""transformers' vision towers: the trunk is the model's own function, cut or not, and methods inside a tower find their
places in it.

Random tiny weights: the hub that has real ones is out of reach here.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from polyclip.data.images import open_image
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, WeightsError
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import describe
from polyclip.models.branch import install
from polyclip.models.components.adapter import Adapter, add_adapters, is_identity
from polyclip.models.components.deep_adapter import TokenLayer, add_deep_adapter
from polyclip.models.components.lora import add_lora
from polyclip.models.components.target import TargetLayers
from polyclip.models.components.unfreeze import unfreeze_all, unfreeze_norms
from polyclip.models.config import ModelConfig
from polyclip.models.feature_cache import finish, states
from polyclip.models.trunk import WholeModel, find_first_trained, run_above, run_below
from polyclip.models.trunk.vision import TransformersViT
from polyclip.models.vision.huggingface import FINAL_NORMS
from tests.toy import write_text_encoder

LAYERS, WIDTH, INNER = 3, 32, 64
SHAPE = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
MODELS = {
    "vit": ("ViT", {"intermediate_size": INNER}),
    "vit_msn": ("ViTMSN", {"intermediate_size": INNER}),
    "deit": ("DeiT", {"intermediate_size": INNER}),
    "dinov2": ("Dinov2", {"mlp_ratio": 2}),
    "dinov2_with_registers": ("Dinov2WithRegisters", {"mlp_ratio": 2}),
    "clip_vision_model": ("CLIPVision", {"intermediate_size": INNER}),
    "siglip_vision_model": ("SiglipVision", {"intermediate_size": INNER}),
}
FAMILIES = sorted(MODELS)
PAIRS = {"clip_vision_model": "CLIP", "metaclip_2_vision_model": "MetaClip2", "siglip_vision_model": "Siglip"}


def write(folder: Path, family: str, **changes: object) -> str:
    """A tiny model whose norms and biases are not what they start at, and an image processor."""
    name, more = MODELS[family]
    torch.manual_seed(3)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**SHAPE | more | changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    write_processor(folder)
    return f"huggingface:{folder}"


def write_processor(folder: Path) -> None:
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessor(**sizes, image_mean=[0.4] * 3, image_std=[0.3] * 3).save_pretrained(folder)


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("towers")
    return {family: write(folder / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_text_encoder(tmp_path_factory.mktemp("text"))


def pictures(count: int = 3) -> list[ImageSource]:
    noise = np.random.default_rng(0).integers(0, 255, (count, 40, 50, 3), dtype=np.uint8)
    return [ImageSource(f"noise {n}", f"noise {n}", partial(Image.fromarray, noise[n])) for n in range(count)]


def test_a_large_photograph_is_decoded_no_larger_than_the_processor_needs(
    towers: dict[str, str], tmp_path: Path
) -> None:
    """Its processor resizes to 32 pixels: of 800 x 600 an eighth is enough. One that does not resize gets them all."""
    tower, path, seen = describe("towers", towers["vit"]).build(), tmp_path / "large.jpg", []
    Image.linear_gradient("L").resize((800, 600)).convert("RGB").save(path)
    item = ImageSource("", "", lambda: seen.append(open_image(path)) or seen[-1])
    small = tower.prepare([item])["pixels"]
    tower.processor.size = {"height": 200, "width": 32}  # four times its longer edge is no longer there
    tower.prepare([item])
    tower.processor.do_resize = False
    tower.prepare([item])
    assert [image.size for image in seen] == [(200, 150), (800, 600), (800, 600)]
    whole = describe("towers", towers["vit"]).build().prepare([ImageSource("", "", lambda: seen[-1])])["pixels"]
    assert (small - whole).abs().mean() < 0.01


def reference(towers: dict[str, str], family: str, pixels: torch.Tensor) -> torch.Tensor:
    """transformers' own last hidden state."""
    model: Any = (
        getattr(transformers, f"{MODELS[family][0]}Model").from_pretrained(towers[family].partition(":")[2]).eval()
    )
    with torch.inference_mode():
        return model(pixel_values=pixels).last_hidden_state


def site(towers: dict[str, str], family: str, **more: str) -> TargetLayers:
    return TargetLayers(encoder=describe("towers", towers[family]).build(), kind="vision", **more)


def test_every_family_is_visited() -> None:
    assert set(FAMILIES) | set(PAIRS) == set(FINAL_NORMS) != set()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_trunk_is_transformers_last_hidden_state(towers: dict[str, str], family: str, pooling: str) -> None:
    built = describe("towers", f"{towers[family]},pooling={pooling}").build()
    assert isinstance(built.trunk, TransformersViT)
    inputs = built.prepare(pictures())
    hidden = reference(towers, family, inputs["pixels"])
    with torch.inference_mode():
        found = built(**inputs)
    torch.testing.assert_close(found, hidden[:, 0] if pooling == "cls" else hidden.mean(1), atol=1e-5, rtol=1e-5)
    assert found.std(0).min() > 1e-3  # three pictures have three vectors


@pytest.mark.parametrize("family", FAMILIES)
def test_cut_anywhere_it_is_the_same_function(towers: dict[str, str], family: str, own_cache: Path) -> None:
    tower = describe("towers", towers[family])
    built = tower.build()
    inputs = built.prepare(pictures())
    with torch.inference_mode():
        whole = built(**inputs)
        for position in range(LAYERS + 2):
            state = run_below(built.trunk, inputs, position)
            torch.testing.assert_close(run_above(built.trunk, state, position)["pooled"], whole, atol=1e-5, rtol=1e-5)
            kept = states(tower, position, pictures(), "pictures")
            torch.testing.assert_close(finish(built, kept, "pictures"), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_takes_part(towers: dict[str, str], family: str) -> None:
    """None is counted, or declared trained, that never gets a gradient."""
    tower = describe("towers", f"{towers[family]},pooling=mean")
    place = TargetLayers(encoder=tower.build(), kind="vision")
    install(place, (unfreeze_all,))
    place.encoder(**place.encoder.prepare(pictures())).square().sum().backward()
    assert [n for n, p in place.encoder.named_parameters() if p.grad is None] == []
    assert tower.parameters == sum(p.numel() for p in place.encoder.parameters())
    layered = {id(p) for layer in place.encoder.trunk.layers for p in layer.parameters()} | {
        id(p) for p in place.encoder.trunk.opening
    }
    closing = (
        {id(p) for p in place.encoder.trunk.final_norm.parameters()}
        if place.encoder.trunk.final_norm is not None
        else set()
    )
    assert layered | closing == {id(p) for p in place.encoder.parameters()}


@pytest.mark.parametrize("family", FAMILIES)
def test_two_adapters_a_layer_and_none_elsewhere(towers: dict[str, str], family: str) -> None:
    place = site(towers, family)
    inputs = place.encoder.prepare(pictures())
    before = place.encoder(**inputs)
    added = install(place, (add_adapters,))
    found = [m for m in place.encoder.modules() if isinstance(m, Adapter)]
    assert [sum(isinstance(m, Adapter) for m in layer.modules()) for layer in place.encoder.trunk.layers] == [
        2
    ] * LAYERS
    assert len(found) == 2 * LAYERS and all(is_identity(adapter) for adapter in found)
    assert added == len(found) * (2 * WIDTH * (WIDTH // 4) + WIDTH + WIDTH // 4)
    assert torch.equal(place.encoder(**inputs), before)
    assert find_first_trained(place.encoder.trunk) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_deep_adapter_is_one_more_layer_and_the_final_norm(towers: dict[str, str], family: str) -> None:
    place = site(towers, family)
    inputs = place.encoder.prepare(pictures())
    before = place.encoder(**inputs)
    layer = (
        4 * WIDTH + 4 * WIDTH * WIDTH + 4 * WIDTH + 2 * WIDTH * INNER + INNER + WIDTH
    )  # two norms, attention, feed-forward
    assert install(place, (add_deep_adapter,)) == layer
    trained = sum(p.numel() for p in place.encoder.parameters() if p.requires_grad)
    assert trained == layer + (2 * WIDTH if FINAL_NORMS[family] else 0)
    assert isinstance(place.encoder.trunk.layers[LAYERS], TokenLayer)
    assert torch.equal(place.encoder(**inputs), before)
    assert find_first_trained(place.encoder.trunk) == LAYERS + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_low_rank_updates_reach_attention_and_feed_forward(towers: dict[str, str], family: str) -> None:
    place = site(towers, family, rank="0,vision.attention=2")
    inputs = place.encoder.prepare(pictures())
    before = place.encoder(**inputs)
    assert install(place, (add_lora,)) == LAYERS * 4 * 2 * 2 * WIDTH  # query, key, value, output; A and B of rank 2
    torch.testing.assert_close(place.encoder(**inputs), before)
    both = site(towers, family, rank="0,vision.attention=2,vision.mlp=1", layers="-1:")
    assert install(both, (add_lora,)) == 4 * 2 * 2 * WIDTH + 2 * (WIDTH + INNER)
    assert find_first_trained(both.encoder.trunk) == LAYERS


def test_a_gated_feed_forward_is_no_attention(tmp_path: Path) -> None:
    """DINOv2's largest has gate_proj, up_proj and down_proj in its feed-forward part."""
    place = site({"dinov2": write(tmp_path, "dinov2", use_swiglu_ffn=True)}, "dinov2", rank="0,vision.attention=2")
    assert install(place, (add_lora,)) == LAYERS * 4 * 2 * 2 * WIDTH


@pytest.mark.parametrize("family", FAMILIES)
def test_layer_spans_cut_the_tower(towers: dict[str, str], family: str) -> None:
    place = site(towers, family, layers="-2:")
    install(place, (unfreeze_norms,))
    assert find_first_trained(place.encoder.trunk) == LAYERS - 1
    trained = sum(p.numel() for p in place.encoder.parameters() if p.requires_grad)
    assert trained == 2 * 2 * 2 * WIDTH
    with pytest.raises(DataError, match="hold none of the 3 layers"):
        install(site(towers, family, layers="7:"), (unfreeze_norms,))


@pytest.mark.parametrize(("method", "cut"), [("lilt-da", LAYERS + 1), ("lilt-lwa", 1), ("lora", 1), ("lilt-ln", 0)])
def test_methods_cut_it_where_they_begin(towers: dict[str, str], text: str, method: str, cut: int) -> None:
    aligner = PolyCLIP(
        ModelConfig(text_encoder=text, vision_tower=towers["clip_vision_model"], method=method, dim=16, tune="vision")
    )
    assert aligner.vision.cut == cut


@pytest.mark.parametrize("family", sorted(PAIRS))
def test_the_vision_part_of_a_model_with_two(tmp_path: Path, family: str) -> None:
    vision = SHAPE | {"intermediate_size": INNER}
    words = {
        key: vision[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    }
    words |= {"vocab_size": 64, "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 16}
    config = getattr(transformers, f"{PAIRS[family]}Config")(text_config=words, vision_config=vision)
    model = getattr(transformers, f"{PAIRS[family]}Model")(config).eval()
    model.save_pretrained(tmp_path)
    write_processor(tmp_path)
    tower = describe("towers", f"huggingface:{tmp_path}")
    built = tower.build()
    inputs = built.prepare(pictures())
    with torch.inference_mode():
        wanted = model.vision_model(pixel_values=inputs["pixels"]).last_hidden_state[:, 0]
        torch.testing.assert_close(built(**inputs), wanted, atol=1e-5, rtol=1e-5)
        state = run_below(built.trunk, inputs, LAYERS)
        torch.testing.assert_close(run_above(built.trunk, state, LAYERS)["pooled"], wanted, atol=1e-5, rtol=1e-5)
    assert isinstance(built.trunk, TransformersViT) and len(built.trunk.layers) == LAYERS
    own = (
        ("head.",) if family == "siglip_vision_model" else ("post_layernorm.",)
    )  # what only its own pooled vector is made with
    assert tower.parameters == sum(p.numel() for n, p in model.vision_model.named_parameters() if not n.startswith(own))


def test_half_precision_on_disk_is_computed_in_full(towers: dict[str, str], tmp_path: Path) -> None:
    folder = Path(towers["vit"].partition(":")[2])
    transformers.ViTModel.from_pretrained(folder).half().save_pretrained(tmp_path)
    write_processor(tmp_path)
    built = describe("towers", f"huggingface:{tmp_path}").build()
    assert {p.dtype for p in built.parameters()} == {torch.float32}
    assert built(**built.prepare(pictures())).dtype == torch.float32


def test_a_transformer_of_another_family_runs_as_a_whole(tmp_path: Path) -> None:
    model = transformers.BeitModel(transformers.BeitConfig(**SHAPE, intermediate_size=INNER)).eval()
    model.save_pretrained(tmp_path)
    write_processor(tmp_path)
    built = describe("towers", f"huggingface:{tmp_path}").build()
    assert isinstance(built.trunk, WholeModel) and find_first_trained(built.trunk) == 1
    inputs = built.prepare(pictures())
    with torch.inference_mode():
        torch.testing.assert_close(built(**inputs), model(pixel_values=inputs["pixels"]).last_hidden_state[:, 0])


def test_a_convolutional_tower_runs_as_a_whole_and_its_last_map_is_averaged(tmp_path: Path) -> None:
    model = transformers.ConvNextModel(
        transformers.ConvNextConfig(hidden_sizes=[8, 8, 16, 24], depths=[1, 1, 1, 1])
    ).eval()
    model.save_pretrained(tmp_path)
    write_processor(tmp_path)
    tower = describe("towers", f"huggingface:{tmp_path}")
    built = tower.build()
    inputs = built.prepare(pictures())
    with torch.inference_mode():
        wanted = model(pixel_values=inputs["pixels"]).last_hidden_state.mean((2, 3))
        torch.testing.assert_close(built(**inputs), wanted)
    assert isinstance(built.trunk, WholeModel) and wanted.shape == (3, tower.dim)


def test_a_model_without_pictures_is_one_sentence(text: str) -> None:
    with pytest.raises(WeightsError) as caught:
        describe("towers", text).build()
    assert "\n" not in str(caught.value)
