"""A tower is cut below its first trained parameter: what lies below is computed once, and nothing that comes out
changes.
"""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyclip.core.toml import CORPORA
from polyclip.data.corpus import load_corpus
from polyclip.data.images import make_image_source
from polyclip.data.pairs import SamplingConfig
from polyclip.data.readers.emoji import pictures
from polyclip.data.training_pairs import make_training_pairs
from polyclip.data.types import ImageSource
from polyclip.languages.resolve import resolve_language
from polyclip.models import branch, feature_cache
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import BackboneSpec, describe
from polyclip.models.config import ModelConfig
from polyclip.models.feature_files import POOLED
from polyclip.models.trunk import State, run_above, run_below
from polyclip.models.trunk.trainable_rows import find_used_tokens
from polyclip.pipeline import align
from polyclip.training.branch_data import encode_branch
from polyclip.training.config import AlignConfig, OptimizerConfig
from tests.models.test_methods import INSIDE
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

CAPTIONS = ["red", "mraba nyekundu kubwa sana", "small green square", "njano"]
QUICK = OptimizerConfig(epochs=2, batch_size=8, learning_rate=1e-2, tower_learning_rate=1e-3, weight_decay=0.1)
LAYERS = {"xlm-r": 2, "nllb": 2, "test_vit": 6, "test_efficientnet": 5}
# Where each tower's first trained parameter sits; POOLED where none is. By hand: XLM-R has a norm and its bias among
# the embeddings,
# NLLB has not; ViT has a bias among the patches; EfficientNet's stem has a norm, and its first stage no 1x1
# convolution.
CUTS = {
    "full": (0, 0, 0, 0),
    "lit": (0, 0, POOLED, POOLED),
    "lit-reversed": (POOLED, POOLED, 0, 0),
    "lilt-ln": (0, 1, 1, 0),
    "lilt-bf": (0, 1, 0, 0),
    "lilt-lwa": (1, 1, 1, 1),
    "lilt-lwa-ln": (0, 1, 1, 0),
    "lilt-lwa-bf": (0, 1, 0, 0),
    "lilt-da": (3, 3, 7, 6),
    "lilt-da-ln": (0, 1, 1, 0),
    "lora": (1, 1, 1, 2),
    "first-blocks": (1, 1, POOLED, POOLED),
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    texts = {kind: write_text_encoder(folder / kind, kind) for kind in ("xlm-r", "nllb")}
    towers = {name: write_vision_tower(folder, name) for name in ("test_vit", "test_efficientnet")}
    return texts | towers | {"corpus": str(write_corpus(folder / "corpus"))}


@pytest.fixture(scope="module")
def squares(toy: dict[str, str]) -> list[ImageSource]:
    return [
        make_image_source(Path(toy["corpus"]).parent / f"{name}.png")
        for name in ("red-small", "blue-huge", "white-middle")
    ]


def recipe(toy: dict[str, str], method: str, text: str, vision: str, **changes: object) -> ModelConfig:
    return dataclasses.replace(
        ModelConfig(text_encoder=toy[text], vision_tower=toy[vision], method=method, dim=16), **changes
    )


def test_every_method_inside_a_tower_has_its_cuts_worked_out() -> None:
    assert set(CUTS) == set(INSIDE)


@pytest.mark.parametrize("method", INSIDE)
def test_towers_are_cut_below_the_first_trained_parameter(toy: dict[str, str], method: str) -> None:
    one = PolyCLIP(recipe(toy, method, "xlm-r", "test_vit"))
    other = PolyCLIP(recipe(toy, method, "nllb", "test_efficientnet"))
    assert (one.text.cut, other.text.cut, one.vision.cut, other.vision.cut) == CUTS[method]


@pytest.mark.parametrize(
    ("method", "text_layers", "vision_layers", "cuts"),
    [
        ("lilt-lwa", "-1:", "-1:", (2, 6)),
        ("lilt-lwa", "1:", "2:4", (2, 3)),
        ("first-blocks", ":1", "", (1, POOLED)),
        ("lilt-ln", "1:", "-2:", (2, 5)),
        ("full", "1:", "3:", (2, 4)),
        ("lora", "1:", ":", (2, 1)),
    ],
)
def test_chosen_layers_move_the_cut(
    toy: dict[str, str], method: str, text_layers: str, vision_layers: str, cuts: tuple[int, int]
) -> None:
    built = PolyCLIP(recipe(toy, method, "xlm-r", "test_vit", text_layers=text_layers, vision_layers=vision_layers))
    assert (built.text.cut, built.vision.cut) == cuts


def trained(
    run: AlignConfig, monkeypatch: pytest.MonkeyPatch, uncut: bool
) -> tuple[list[dict[str, Any]], dict[str, Tensor], tuple[int, int]]:
    """Log, trained parts before they are rounded, and the cuts of a whole alignment."""
    seen: list[Any] = []
    original = PolyCLIP.save

    def spy(self: PolyCLIP, path: Path) -> None:
        seen.append((copy.deepcopy(self.state()), (self.text.cut, self.vision.cut)))
        original(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(PolyCLIP, "save", spy)
        if uncut:
            patch.setattr(branch, "find_first_trained", lambda trunk: 0)
        align(run)
    return [json.loads(line) for line in (run.out / "log.jsonl").read_text("utf-8").splitlines()], *seen[0]


# All methods with all layers where that cuts a tower, and with the last layer alone; deep adapters stand after it
# whatever is chosen.
TRAININGS = [(method, "xlm-r", "test_vit", "") for method in INSIDE if max(CUTS[method][0::2]) > 0]
TRAININGS += [(method, "nllb", "test_efficientnet", "" if "-da" in method else "-1:") for method in INSIDE]


@pytest.mark.parametrize(
    ("method", "text", "vision", "layers"), TRAININGS, ids=["-".join(row[:3]) for row in TRAININGS]
)
def test_training_above_the_cut_is_training_the_whole_tower(
    toy: dict[str, str],
    method: str,
    text: str,
    vision: str,
    layers: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = recipe(toy, method, text, vision, text_layers=layers, vision_layers=layers)
    languages = [resolve_language("sw"), resolve_language("en")]
    heads = dataclasses.replace(QUICK, epochs=1)
    run = AlignConfig(
        languages=languages, recipe=own, out=tmp_path / "cut", corpus=toy["corpus"], heads=heads, towers=QUICK
    )
    log, state, cuts = trained(run, monkeypatch, uncut=False)
    plain_log, plain, plain_cuts = trained(dataclasses.replace(run, out=tmp_path / "whole"), monkeypatch, uncut=True)
    assert {cut for cut in plain_cuts if cut != POOLED} == {0}
    assert max(cuts) > 0
    assert [line["phase"] for line in log] == ["heads"] * 2 + [method] * 3 == [line["phase"] for line in plain_log]
    for line, wanted in zip(log, plain_log, strict=True):
        assert line["validation"] == pytest.approx(wanted["validation"], abs=1e-6)
        assert line.get("loss", 0.0) == pytest.approx(wanted.get("loss", 0.0), rel=1e-4)
    assert state.keys() == plain.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(
            state[name], tensor, atol=2e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("method", ["full", "lit"])
def test_of_a_token_table_the_rows_that_captions_use_are_trained(
    toy: dict[str, str], method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As AdamW trains the whole table; the others stay as they came, where weight decay would shrink them."""
    languages = [resolve_language("sw"), resolve_language("en")]
    own = recipe(toy, method, "xlm-r", "test_vit")
    run = AlignConfig(
        languages=languages,
        recipe=own,
        out=tmp_path / "rows",
        corpus=toy["corpus"],
        heads=dataclasses.replace(QUICK, epochs=1),
        towers=QUICK,
    )
    log, state, _ = trained(run, monkeypatch, uncut=False)
    monkeypatch.setattr("polyclip.training.branch_data.train_rows", lambda *_: None)
    whole_log, whole, _ = trained(dataclasses.replace(run, out=tmp_path / "whole"), monkeypatch, uncut=False)
    start = PolyCLIP(own)
    pairs = make_training_pairs(load_corpus(toy["corpus"]), languages, "train", SamplingConfig())
    known = find_used_tokens(start.text.encoder, pairs.captions)
    table = "text.encoder.model.embeddings.word_embeddings.weight"
    others = [row for row in range(len(whole[table])) if row not in known.tolist()]
    assert len(known) > 10 and len(others) > 10 and state.keys() == whole.keys()
    assert [line["validation"] for line in log] == pytest.approx([line["validation"] for line in whole_log], abs=1e-6)
    before = start.state()[table]
    assert torch.equal(state[table][others], before[others]) and not torch.equal(state[table][known], before[known])
    state[table][others] = whole[table][others]
    for name, tensor in whole.items():
        torch.testing.assert_close(
            state[name], tensor, atol=2e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def own_forward(built: Any, inputs: State) -> Tensor:
    """The model's own forward pass, which knows nothing of a trunk."""
    if "input_ids" in inputs:
        hidden = built.model(**inputs).last_hidden_state
        return torch.stack(
            [row[: int(length)].mean(0) for row, length in zip(hidden, inputs["attention_mask"].sum(1), strict=True)]
        )
    return built.model.forward_head(built.model.forward_features(inputs["pixels"]), pre_logits=True)


@pytest.mark.parametrize("name", LAYERS)
@torch.inference_mode()
def test_below_and_above_every_position_make_the_models_own_forward(
    toy: dict[str, str], squares: list[ImageSource], name: str
) -> None:
    built = describe("towers" if "test" in name else "encoders", toy[name]).build()
    assert len(built.trunk.layers) == LAYERS[name]
    inputs = built.start(built.prepare(squares if "test" in name else CAPTIONS))
    wanted = own_forward(built, inputs)
    for position in range(LAYERS[name] + 2):
        state = run_below(built.trunk, inputs, position)
        torch.testing.assert_close(built.finish(state, position), wanted, atol=1e-5, rtol=1e-4)
        if position > 0:  # through rows without padding
            torch.testing.assert_close(
                built.finish(built.join(built.split(state)), position), wanted, atol=1e-5, rtol=1e-4
            )


@torch.inference_mode()
def test_every_position_of_e5_small() -> None:
    built = describe("encoders", "e5-small").build()
    inputs = built.prepare(
        ["mbwa mweusi", "ein sehr großer roter Würfel auf dem Tisch", "犬", "చిన్న కుక్క", "كلب أسود كبير", "собака"]
    )
    assert inputs["attention_mask"].min() == 0
    wanted = own_forward(built, built.start(inputs))
    for position in range(len(built.trunk.layers) + 2):
        state = run_below(built.trunk, inputs, position)
        torch.testing.assert_close(built.finish(state, position), wanted, atol=1e-5, rtol=1e-4)
        if position > 0:
            torch.testing.assert_close(
                built.finish(built.join(built.split(state)), position), wanted, atol=1e-5, rtol=1e-4
            )


@torch.inference_mode()
def test_every_position_of_efficientnet_with_depths() -> None:
    drawn = pictures(CORPORA / "emoji", "openmoji")
    built = describe("towers", "efficientnet-lite0:depths,size=96").build()
    inputs = built.start(built.prepare([drawn["1F436"], drawn["1F34C"]]))
    stages: list[Tensor] = []
    hooks = [
        stage.register_forward_hook(lambda _, __, out: stages.append(out.mean((2, 3))))
        for stage in built.model.blocks[2:]
    ]
    last = own_forward(built, inputs)
    for hook in hooks:
        hook.remove()
    wanted = torch.cat([last, *stages], dim=1)
    assert wanted.shape == (2, built.dim)
    for position in range(len(built.trunk.layers) + 2):
        state = run_below(built.trunk, inputs, position)
        torch.testing.assert_close(run_above(built.trunk, state, position)["pooled"], wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(built.finish(built.join(built.split(state)), position), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            built.get_inference_form().finish(run_below(built.get_inference_form().trunk, inputs, position), position),
            wanted,
            atol=2e-4,
            rtol=1e-3,
        )


@pytest.mark.parametrize(
    ("name", "position"),
    [("xlm-r", 1), ("nllb", 2), ("xlm-r", 3), ("test_vit", 0), ("test_vit", 4), ("test_efficientnet", 3)],
)
@torch.inference_mode()
def test_states_come_back_from_the_cache_as_they_were(
    toy: dict[str, str], squares: list[ImageSource], own_cache: Path, name: str, position: int
) -> None:
    tower = describe("towers" if "test" in name else "encoders", toy[name])
    built = tower.build()
    items: list[Any] = squares if "test" in name else CAPTIONS
    items = [*items, items[0]]  # an item twice is kept once
    found = feature_cache.states(tower, position, items, "items", [2, len(items) - 2])
    assert len(found) == len(items)
    joined = built.join([found[row] for row in range(len(items))])
    inputs = built.prepare(items)
    wanted = run_below(built.trunk, built.start(inputs), position) if position else inputs
    assert joined.keys() == wanted.keys()
    for part, tensor in joined.items():
        real = wanted["mask"].bool() if "mask" in wanted else torch.ones(len(items), dtype=torch.bool)
        torch.testing.assert_close(tensor[real], wanted[part][real], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(built.finish(joined, position), built.finish(wanted, position), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        feature_cache.finish(built, found, "items"), built.finish(wanted, position), atol=1e-5, rtol=1e-4
    )


def counting(tower: BackboneSpec, seen: list[str]) -> BackboneSpec:
    """The same tower, which notes each item that it is given."""

    def build() -> Any:
        built = tower.build()
        prepare = built.prepare
        built.prepare = lambda items: [
            seen.extend(item if isinstance(item, str) else item.name for item in items),
            prepare(items),
        ][1]
        return built

    return dataclasses.replace(tower, build=build)


def test_what_lies_below_the_cut_is_computed_once(
    toy: dict[str, str], squares: list[ImageSource], own_cache: Path
) -> None:
    for kind, name, items in (("encoders", "nllb", CAPTIONS), ("towers", "test_efficientnet", squares)):
        seen: list[str] = []
        tower = counting(describe(kind, toy[name]), seen)
        once = feature_cache.states(tower, 2, [*items, items[0]], "items")
        assert sorted(seen) == sorted(item if isinstance(item, str) else item.name for item in items)
        again = feature_cache.states(tower, 2, [*items, items[0]], "items")
        assert len(seen) == len(items)
        assert all(torch.equal(once[row]["hidden"], again[row]["hidden"]) for row in range(len(once)))
        feature_cache.states(tower, 1, items, "items")
        assert len(seen) == 2 * len(items)  # another position is another state


def test_a_second_alignment_computes_nothing_below_the_cut(
    toy: dict[str, str], own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = recipe(toy, "lilt-da", "xlm-r", "test_vit")
    quick = dataclasses.replace(QUICK, epochs=1)
    run = AlignConfig(
        languages=[resolve_language("sw")],
        recipe=own,
        out=tmp_path / "one",
        corpus=toy["corpus"],
        heads=quick,
        towers=quick,
    )
    computed: list[str] = []
    original = feature_cache.compute

    def spy(tower: BackboneSpec, missing: Any, what: str, position: int) -> None:
        computed.append(what)
        original(tower, missing, what, position)

    monkeypatch.setattr(feature_cache, "compute", spy)
    align(run)
    assert any("below the cut" in what for what in computed)
    computed.clear()
    align(dataclasses.replace(run, out=tmp_path / "two", recipe=dataclasses.replace(own, dim=8)))
    assert computed == []


@pytest.mark.parametrize(
    ("method", "text", "vision"), [("lilt-da", "xlm-r", "test_vit"), ("full", "nllb", "test_efficientnet")]
)
@torch.no_grad()
def test_a_step_gets_the_rows_it_asked_for_in_their_order(
    toy: dict[str, str], method: str, text: str, vision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captions are batched by length and put back: each vector is that of its own row."""
    built = PolyCLIP(recipe(toy, method, text, vision)).eval()
    pairs = make_training_pairs(
        load_corpus(toy["corpus"]), [resolve_language("sw"), resolve_language("en")], "train", SamplingConfig()
    )
    for side, count in ((built.text, len(pairs.captions)), (built.vision, len(pairs.images))):
        data = encode_branch(side, pairs, pairs)
        data.measure_head()
        rows = torch.randint(count, (40,))
        frozen = side(data.make_inputs(rows))
        data.attach_backbone()
        monkeypatch.setattr(type(side.encoder), "grain", 7)
        live = side(data.make_inputs(rows))
        wanted = side.embed([data.train[row] for row in rows.tolist()], "items", keep=False)
        torch.testing.assert_close(live, wanted, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(frozen, wanted, atol=1e-4, rtol=1e-3)  # nothing is trained yet
        assert torch.unique(wanted.round(decimals=3), dim=0).shape[0] > 5
