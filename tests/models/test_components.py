"""What methods put into towers: it changes nothing before the first step, stands where it should, and has the size
worked out by hand.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from polyclip.data.images import make_image_source
from polyclip.errors import DataError
from polyclip.models.backbone import describe
from polyclip.models.components.adapter import Adapter, ConvAdapter, add_adapters, is_identity
from polyclip.models.components.deep_adapter import ConvLayer, TokenLayer, add_deep_adapter
from polyclip.models.components.lora import add_lora, classify_module, find_rank, parse_rank_rules, plan_ranks
from polyclip.models.components.target import TargetLayers
from polyclip.models.components.unfreeze import unfreeze_all, unfreeze_biases, unfreeze_norms
from polyclip.models.method import Part
from polyclip.models.trunk import WholeModel
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

TEXTS, TOWERS = ("xlm-r", "nllb"), ("test_vit", "test_efficientnet")
CAPTIONS = ["red", "mraba nyekundu kubwa sana", "small green square"]
Build = Callable[..., TargetLayers]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("towers")
    texts = {kind: write_text_encoder(folder / kind, kind) for kind in TEXTS}
    return (
        texts
        | {name: write_vision_tower(folder, name) for name in TOWERS}
        | {"corpus": str(write_corpus(folder / "corpus").parent)}
    )


@pytest.fixture
def site(names: dict[str, str]) -> Build:
    """A newly built tower by its short name, with whatever else a site takes."""

    def build(name: str, **more: str) -> TargetLayers:
        kind, folder = ("text", "encoders") if name in TEXTS else ("vision", "towers")
        return TargetLayers(encoder=describe(folder, names[name]).build(), kind=kind, **more)

    return build


@torch.inference_mode()
def output(site: TargetLayers, names: dict[str, str]) -> Tensor:
    items: list[Any] = (
        CAPTIONS
        if site.kind == "text"
        else [make_image_source(Path(names["corpus"]) / f"{name}.png") for name in ("red-small", "blue-huge")]
    )
    return site.encoder(**site.encoder.prepare(items))


def size(parameters: list[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)


def inputs_and_outputs(name: str) -> list[tuple[int, int]]:
    """Width in and out of each linear map and 1x1 convolution of a toy tower's layers, by hand."""
    if name in TEXTS:
        return 2 * [*4 * [(32, 32)], (32, 64), (64, 32)]
    if name == "test_vit":
        return 6 * [(64, 192), (64, 64), (64, 192), (192, 64)]
    inverted = [
        [(32, 128), (128, 8), (8, 128), (128, 48)],
        [(48, 192), (192, 12), (12, 192), (192, 64)],
    ]  # expand, squeeze, excite, project
    return [(64, 24), (96, 32), *inverted[0], *inverted[1]]


def adapter_size(width: int) -> int:
    inner = width // 4
    return width * inner + inner + inner * width + width


ADAPTED = {
    "xlm-r": [32] * 4,
    "nllb": [32] * 4,
    "test_vit": [64] * 12,
    "test_efficientnet": [16, 24, 32, 48, 64],
}  # width of each adapter
DEEP = {
    name: 4 * (width * width + width) + 2 * width * inner + inner + width + 4 * width
    for name, width, inner in (("xlm-r", 32, 64), ("test_vit", 64, 192))
}
DEEP["nllb"] = DEEP["xlm-r"] + 2 * 32  # with the final norm
DEEP["test_vit"] += 2 * 64
DEEP["test_efficientnet"] = (64 * 384 + 384) + (384 * 9 + 384) + (384 * 64 + 64) + 2 * 256
SIZES: dict[Part, dict[str, int]] = {
    add_adapters: {name: sum(map(adapter_size, widths)) for name, widths in ADAPTED.items()},
    add_deep_adapter: DEEP,
    add_lora: {name: sum(8 * (into + out) for into, out in inputs_and_outputs(name)) for name in (*TEXTS, *TOWERS)},
}


@pytest.mark.parametrize("name", [*TEXTS, *TOWERS])
@pytest.mark.parametrize("part", SIZES, ids=lambda part: part.__name__)
def test_a_tower_starts_unchanged_and_moves_when_the_part_does(
    site: Build, names: dict[str, str], part: Part, name: str
) -> None:
    own = site(name)
    before = output(own, names)
    found = part(own)
    assert size(found) == SIZES[part][name]
    assert len({id(p) for p in found}) == len(found)
    own.encoder.eval()
    torch.testing.assert_close(output(own, names), before, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        for parameter in found:
            parameter.add_(0.1 * torch.randn_like(parameter))
    assert (output(own, names) - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", [*TEXTS, *TOWERS])
def test_every_added_parameter_gets_a_gradient_once_it_moves(site: Build, names: dict[str, str], name: str) -> None:
    for part in SIZES:
        own = site(name)
        found = part(own)
        own.encoder.requires_grad_(False).eval()
        for parameter in found:
            parameter.requires_grad_(True)
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        items: list[Any] = (
            CAPTIONS if own.kind == "text" else [make_image_source(Path(names["corpus"]) / "red-huge.png")]
        )
        own.encoder(**own.encoder.prepare(items)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in found)


def test_adapters_are_their_formula() -> None:
    token, image = Adapter(8), ConvAdapter(8)
    assert is_identity(token) and is_identity(image)
    for module in (token, image):
        for parameter in module.parameters():
            nn.init.normal_(parameter)
    assert not is_identity(token) and not is_identity(image)
    hidden = torch.randn(2, 3, 8)
    inner = nn.functional.gelu(hidden @ token.down.weight.T + token.down.bias)
    torch.testing.assert_close(token(hidden), hidden + inner @ token.up.weight.T + token.up.bias)
    image.load_state_dict(
        {key: value[..., None, None] if value.ndim == 2 else value for key, value in token.state_dict().items()}
    )
    torch.testing.assert_close(
        image(hidden.permute(0, 2, 1)[..., None])[..., 0].permute(0, 2, 1), token(hidden)
    )  # a 1x1 convolution is a linear map


@pytest.mark.parametrize("name", [*TEXTS, *TOWERS])
def test_adapters_stay_in_the_chosen_layers(site: Build, name: str) -> None:
    own = site(name, layers="-1:")
    found = add_adapters(own)
    a_layer = 1 if name == "test_efficientnet" else 2
    assert size(found) == sum(adapter_size(width) for width in ADAPTED[name][-a_layer:])
    inside = {id(p) for p in own.encoder.trunk.layers[-1].parameters()}
    assert {id(p) for p in found} <= inside


def slow_layer(layer: TokenLayer, hidden: Tensor) -> Tensor:
    """One caption without padding: norm, attention head by head, sum; norm, feed-forward, sum."""
    tokens, width = hidden.shape
    each = width // layer.heads
    query, key, value = (layer.norm1(hidden) @ layer.qkv.weight.T + layer.qkv.bias).split(width, dim=1)
    heads = []
    for head in range(layer.heads):
        own = slice(head * each, (head + 1) * each)
        share = torch.stack(
            [
                torch.stack([query[i, own] @ key[j, own] / each**0.5 for j in range(tokens)]).softmax(0)
                for i in range(tokens)
            ]
        )
        heads.append(share @ value[:, own])
    hidden = hidden + layer.out(torch.cat(heads, dim=1))
    return hidden + layer.down(nn.functional.gelu(layer.up(layer.norm2(hidden))))


def test_a_token_layer_is_its_formula() -> None:
    layer = TokenLayer(8, 2, 12)
    hidden = torch.randn(1, 5, 8)
    assert torch.equal(layer(hidden), hidden)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    torch.testing.assert_close(layer(hidden)[0], slow_layer(layer, hidden[0]), atol=1e-4, rtol=1e-4)


def test_a_map_layer_is_its_formula() -> None:
    layer = ConvLayer(4)
    maps = torch.randn(2, 4, 5, 5)
    assert torch.equal(layer(maps), maps)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    inner = (maps.permute(0, 2, 3, 1) @ layer.expand.weight[:, :, 0, 0].T + layer.expand.bias).clamp(0, 6)
    padded = nn.functional.pad(inner, (0, 0, 1, 1, 1, 1))
    seen = (
        sum(padded[:, i : i + 5, j : j + 5] * layer.depthwise.weight[:, 0, i, j] for i in range(3) for j in range(3))
        + layer.depthwise.bias
    )
    wanted = maps + (seen.clamp(0, 6) @ layer.project.weight[:, :, 0, 0].T + layer.project.bias).permute(0, 3, 1, 2)
    torch.testing.assert_close(layer(maps), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", TEXTS)
@torch.inference_mode()
def test_a_deep_adapter_gives_a_caption_the_same_alone_and_in_a_batch(site: Build, name: str) -> None:
    own = site(name)
    plain = own.encoder(**own.encoder.prepare(CAPTIONS))
    add_deep_adapter(own)
    for parameter in own.encoder.trunk.layers[-1].parameters():
        nn.init.normal_(parameter, std=0.5)
    together = own.encoder(**own.encoder.prepare(CAPTIONS))
    assert (together - plain).abs().max() > 0.1
    for row, caption in enumerate(CAPTIONS):
        torch.testing.assert_close(
            own.encoder(**own.encoder.prepare([caption]))[0], together[row], atol=1e-4, rtol=1e-4
        )


def test_rank_rules_are_read_in_their_order() -> None:
    rules = parse_rank_rules("8,text.attention=16, vision=4,text.attention.0=32,text.1=2,vision.convolution=0")
    assert rules == [
        ("", "", "", 8),
        ("text", "attention", "", 16),
        ("vision", "", "", 4),
        ("text", "attention", "0", 32),
        ("text", "", "1", 2),
        ("vision", "convolution", "", 0),
    ]
    found = {
        place: find_rank(rules, *place)
        for place in [("text", "attention", 0), ("text", "attention", 1), ("text", "attention", 2), ("text", "mlp", 0)]
    }
    assert found == {
        ("text", "attention", 0): 32,
        ("text", "attention", 1): 2,
        ("text", "attention", 2): 16,
        ("text", "mlp", 0): 8,
    }
    assert (find_rank(rules, "vision", "mlp", 0), find_rank(rules, "vision", "convolution", 3)) == (4, 0)
    assert find_rank(parse_rank_rules("text=4"), "vision", "mlp", 0) == 0


@pytest.mark.parametrize(
    "rule", ["eight", "text.head=4", "text.attention", "text.attention.x=4", "audio=2", "8,,4", "", "-1", "text=1.5"]
)
def test_a_bad_rank_rule_is_named(site: Build, rule: str) -> None:
    with pytest.raises(DataError, match="Rank rule .* cannot be parsed: expected a number, or TOWER") as caught:
        add_lora(site("xlm-r", rank=rule))
    assert repr(next(part for part in rule.split(",") if not part.isdecimal())) in str(caught.value)


def test_kinds_of_blocks(site: Build) -> None:
    kinds = {
        name: {classify_module(path, m) for path, m in site(name).encoder.trunk.layers[-1].named_modules()} - {""}
        for name in (*TEXTS, *TOWERS)
    }
    assert kinds == {
        "xlm-r": {"attention", "mlp"},
        "nllb": {"attention", "mlp"},
        "test_vit": {"attention", "mlp"},
        "test_efficientnet": {"convolution"},
    }
    attention = {
        name: sum(classify_module(p, m) == "attention" for p, m in site(name).encoder.trunk.layers[0].named_modules())
        for name in (*TEXTS, "test_vit")
    }
    assert attention == {"xlm-r": 4, "nllb": 4, "test_vit": 2}  # ViT's query, key and value are one map
    assert classify_module("conv", nn.Conv2d(4, 4, 3)) == classify_module("conv", nn.Conv2d(4, 4, 1, groups=4)) == ""


BUDGET = "8,text.attention=16,vision=4,text.attention.0=32,vision.0=0,vision.attention.5=2"


def test_a_budget_by_tower_kind_and_layer(site: Build) -> None:
    text, vision = (plan_ranks(site(name, rank=BUDGET)) for name in ("xlm-r", "test_vit"))
    assert sorted(text.values()) == [8] * 4 + [16] * 4 + [32] * 4
    assert all(rank == 32 for path, rank in text.items() if ".0.attention." in path)
    assert sorted(vision.values()) == [0] * 4 + [2] * 2 + [4] * 18
    assert all((rank == 0) == path.startswith("blocks.0.") for path, rank in vision.items())


@pytest.mark.parametrize("name", [*TEXTS, *TOWERS])
def test_updates_have_the_rank_of_their_budget_and_are_their_formula(
    site: Build, names: dict[str, str], name: str
) -> None:
    own = site(name, rank=BUDGET)
    ranks = plan_ranks(own)
    add_lora(own)
    updated = {path: m for path, m in own.encoder.model.named_modules() if hasattr(m, "lora_A")}
    assert updated.keys() == {path for path, rank in ranks.items() if rank}
    for path, module in updated.items():
        down, up = module.lora_A["default"], module.lora_B["default"]
        assert down.weight.shape[0] == up.weight.shape[1] == ranks[path]
        assert not up.weight.any() and down.weight.any()
    path, module = next(iter(updated.items()))
    nn.init.normal_(module.lora_B["default"].weight)
    x = (
        torch.randn(3, module.in_features)
        if isinstance(module.get_base_layer(), nn.Linear)
        else torch.randn(3, module.in_features, 4, 4)
    )
    base = module.get_base_layer()(x)
    update = (module.lora_B["default"].weight.flatten(1) @ module.lora_A["default"].weight.flatten(1)).detach()
    wanted = torch.einsum("oi,bi...->bo...", update, x)  # B A x, at scale 1 whatever the rank
    torch.testing.assert_close(module(x) - base, wanted, atol=1e-4, rtol=1e-3)


def test_rank_zero_leaves_out_and_nothing_left_is_said(site: Build) -> None:
    own = site("xlm-r", rank="0,text.mlp.1=4")
    found = add_lora(own)
    assert size(found) == 4 * 2 * (32 + 64)
    with pytest.raises(DataError, match="no place in a XLMRobertaModel with ranks 'vision=4'"):
        add_lora(site("xlm-r", rank="vision=4"))


@pytest.mark.parametrize(
    ("layers", "numbers"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        (":2", [0, 1]),
        ("-2:", [4, 5]),
        ("1:-3", [1, 2]),
        ("4:99", [4, 5]),
        (":", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_spans_of_layers_are_slices(site: Build, layers: str, numbers: list[int]) -> None:
    assert list(site("test_vit", layers=layers).layer_numbers()) == numbers


@pytest.mark.parametrize("layers", ["3", "first:", "1:2:3", "a:b", " :", "1-2", "--1:"])
def test_what_is_no_span_is_said(site: Build, layers: str) -> None:
    with pytest.raises(DataError, match="vision layers are .*, expected first:end, such as :4") as caught:
        site("test_vit", layers=layers).layer_numbers()
    assert repr(layers) in str(caught.value)


@pytest.mark.parametrize("layers", ["6:", "3:3", "-1:2", ":0"])
def test_an_empty_span_is_said(site: Build, layers: str) -> None:
    with pytest.raises(
        DataError, match=f"vision layers '{layers}' hold none of the 6 layers \\(0 to 5\\) of a VisionTransformer"
    ):
        site("test_vit", layers=layers).layer_numbers()


class Strange(nn.Module):
    """A tower of a family that is not known: one linear map without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(4, 4, bias=False)
        self.trunk = WholeModel(self.model, lambda inputs: {"pooled": self.model(inputs["pixels"])})


def test_a_tower_whose_layers_are_not_known_is_never_cut_or_chosen_from() -> None:
    strange = TargetLayers(encoder=Strange(), kind="vision", layers="-1:")
    with pytest.raises(DataError, match="does not know the layers of a Linear.*without vision layers"):
        strange.layer_numbers()
    for part in (add_deep_adapter, add_adapters):
        with pytest.raises(DataError, match="no place in a Linear.*--method heads"):
            part(TargetLayers(encoder=Strange(), kind="vision"))
    with pytest.raises(DataError, match="does not know the layers of a Linear"):
        add_lora(TargetLayers(encoder=Strange(), kind="vision"))
    assert size(unfreeze_all(TargetLayers(encoder=Strange(), kind="vision"))) == 16


@pytest.mark.parametrize(("part", "what"), [(unfreeze_norms, "normalisation layer"), (unfreeze_biases, "bias")])
def test_nothing_to_unlock_is_said(part: Part, what: str) -> None:
    with pytest.raises(DataError, match=f"There is no {what} to train in a Linear \\(vision layers all\\)"):
        part(TargetLayers(encoder=Strange(), kind="vision"))


def test_the_convolutional_first_stage_has_no_place_for_low_rank_updates(site: Build) -> None:
    with pytest.raises(DataError, match="no place in a EfficientNet"):
        add_lora(site("test_efficientnet", layers=":1"))


@pytest.mark.parametrize("name", [*TEXTS, *TOWERS])
def test_a_deep_adapter_takes_no_layers(site: Build, name: str) -> None:
    own = site(name, layers="-1:")
    with pytest.raises(DataError, match=f"after the last layer: leave out {own.kind} layers '-1:'"):
        add_deep_adapter(own)


NORM_WIDTHS = {
    "xlm-r": [32] * 5,  # among the embeddings, and two in each layer
    "nllb": [32] * 5,  # two in each layer, and the last
    "test_vit": [64] * 13,
    "test_efficientnet": [24, 16, 64, 24, 96, 32, 128, 128, 48, 192, 192, 64, 256],
}


@pytest.mark.parametrize("name", NORM_WIDTHS)
def test_norms_are_gain_and_bias_of_every_norm(site: Build, name: str) -> None:
    assert sorted(p.numel() for p in unfreeze_norms(site(name))) == sorted(2 * NORM_WIDTHS[name])


@pytest.mark.parametrize("name", [*TEXTS, *TOWERS])
def test_biases_are_every_parameter_of_that_name(site: Build, name: str) -> None:
    own = site(name)
    found = {id(p) for p in unfreeze_biases(own)}
    named = dict(own.encoder.named_parameters())
    assert found == {id(p) for path, p in named.items() if path.endswith("bias")} != set()
    shift = {id(p) for m in own.encoder.modules() if isinstance(m, nn.LayerNorm | nn.BatchNorm2d) for p in [m.bias]}
    assert shift and shift <= found
    assert all(p.ndim == 1 for p in unfreeze_biases(own))
    if name == "test_vit":
        assert id(own.encoder.model.patch_embed.proj.bias) in found
    if name == "test_efficientnet":
        assert id(own.encoder.model.bn1.bias) in found  # of the stem
        assert id(own.encoder.model.blocks[3][0].se.conv_reduce.bias) in found


def test_what_takes_no_part_in_the_pooled_vector_is_not_trained() -> None:
    """EfficientNet-Lite keeps its ImageNet classifier, whose bias is none of these."""
    model = timm.create_model("test_efficientnet", pretrained=False)
    encoder = nn.Module()
    encoder.classifier = model.get_classifier()
    model.reset_classifier(0)
    encoder.model, encoder.trunk = model, SimpleNamespace(kind="map", layers=model.blocks)
    own = TargetLayers(encoder=encoder, kind="vision")
    aside = {id(p) for p in encoder.classifier.parameters()}
    assert len(aside) == 2
    for part in (unfreeze_biases, unfreeze_all, unfreeze_norms):
        assert not aside & {id(p) for p in part(own)}
    assert size(unfreeze_all(own)) == size(list(model.parameters()))


@pytest.mark.parametrize("name", [*TEXTS, *TOWERS])
def test_everything_in_some_layers_is_those_layers(site: Build, name: str) -> None:
    own = site(name, layers="1:")
    assert size(unfreeze_all(own)) == sum(
        size(list(layer.parameters())) for layer in list(own.encoder.trunk.layers)[1:]
    )
    assert size(unfreeze_all(site(name))) == size(list(own.encoder.parameters()))
