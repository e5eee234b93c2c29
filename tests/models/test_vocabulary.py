"""The names that a vision tower has for what it sees."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from polyclip.core.progress import show_messages
from polyclip.core.registry import find
from polyclip.errors import DataError, WeightsError
from polyclip.models.backbone import describe
from polyclip.models.config import ModelConfig
from polyclip.models.vocabulary.classes import (
    MOST,
    Classifier,
    Node,
    build_vocabulary,
    list_nodes,
    list_synsets,
    match_labels,
)
from polyclip.models.vocabulary.translations import load_translations, read_translations
from polyclip.models.vocabulary.wordnet import find_ancestors, group_classes, load_synsets, read_synsets
from polyclip.training.class_names import add_class_names, read_vocabulary

DOG, TABBY, ANIMAL, OBJECT = "n02084071", "n02123045", "n00015388", "n00002684"


def test_every_class_of_the_public_classifiers_has_words_and_hypernyms() -> None:
    table = load_synsets()
    for subset, count in (
        ("imagenet-1k", 1000),
        ("imagenet-12k", 11821),
        ("imagenet-22k", 21841),
        ("imagenet-21k-goog", 21843),
    ):
        classes = list_synsets(subset)
        assert len(classes) == count and all(table[synset].words for synset in classes)
    assert table[DOG].words == ("dog", "domestic dog", "Canis familiaris")
    assert {"n02083346", "n02075296", ANIMAL} < find_ancestors(DOG)  # canine, carnivore, animal


def test_a_hypernym_stands_for_the_classes_below_it_and_too_wide_ones_for_nothing() -> None:
    classes = list_synsets("imagenet-1k")
    below = group_classes(classes)
    dogs = {classes[number] for number in below[DOG]}
    assert len(dogs) == 118 and "n02085620" in dogs and TABBY not in dogs  # Chihuahua
    nodes = {node.names[0] for node in list_nodes(classes)}
    assert {"dog", "flower", "vehicle"} <= nodes and not {"object", "whole", "entity"} & nodes


def test_prototypes_are_the_mean_directions_of_their_classes() -> None:
    labels = list_synsets("imagenet-1k")
    rows = torch.eye(1000)
    found = build_vocabulary(Classifier(labels, rows), "tower")
    assert found is not None and len(found) == len(list_nodes(labels))
    node = found.node[list(found.names).index("domestic dog")]
    dogs = torch.tensor(group_classes(labels)[DOG])
    assert found.prototypes[node, dogs].min() > 0.08 and found.prototypes[node].norm().item() == pytest.approx(
        1, abs=1e-5
    )
    others = torch.ones(1000, dtype=torch.bool)
    others[dogs] = False
    assert found.prototypes[node, others].max() < 0  # around the mean of all rows


def test_a_large_classifier_keeps_what_most_people_photograph() -> None:
    nodes = list_nodes(list_synsets("imagenet-22k"))
    words = {word for node in nodes for word in node.names}
    assert len(nodes) == MOST and {"dog", "banana", "tabby", "hammer"} <= words


@pytest.mark.parametrize(
    ("labels", "rows", "sentence"),
    [
        (
            list_synsets("imagenet-1k")[:999],
            torch.zeros(1000, 4),
            "has 1000 rows and 999 class names; expected one name a row",
        ),
        (["a"] * 30, torch.full((30, 4), torch.nan), "values that are not finite"),
    ],
)
def test_a_classifier_that_does_not_fit_is_refused(labels: list[str], rows: torch.Tensor, sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence):
        build_vocabulary(Classifier(labels, rows), "timm:x")


def test_a_classifier_of_few_classes_names_too_little() -> None:
    assert build_vocabulary(Classifier(["cat", "dog"], torch.eye(2)), "tower") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("n1\t\tentity\nn2 n1\tdog\n", r":2: expected id, hypernyms and words"),
        ("n1\t\tentity\nn2\tn3\tdog\n", "hypernym n3 of n2 is not in the file"),
        ("n1\t\t\n", ":1: expected id"),
    ],
)
def test_a_damaged_names_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "wordnet.tsv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=sentence):
        read_synsets(path)
    path.write_bytes(b"n1\t\t\xff\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_synsets(path)


def test_classes_have_names_in_other_languages_after_the_english_ones() -> None:
    labels = list_synsets("imagenet-1k")
    found = build_vocabulary(Classifier(labels, torch.eye(1000)), "tower")
    assert found is not None and len(found.names) == len(found.node) > found.english
    names = list(found.names)
    dog = found.node[names.index("domestic dog")]
    others = {
        name for name, node in zip(names[found.english :], found.node[found.english :], strict=True) if node == dog
    }
    assert others == set(load_translations()[DOG]) and {"hund", "anjing", "犬"} <= others
    assert len(found.node[: found.english].unique()) == len(found)  # every node has an English name


def test_labels_that_are_no_synsets_have_english_names_alone() -> None:
    found = build_vocabulary(Classifier([f"thing {number}" for number in range(30)], torch.eye(30)), "tower")
    assert found is not None and found.english == len(found.names) == 30


def test_names_in_other_languages_are_of_imagenets_nodes_and_written_as_people_write() -> None:
    table, nodes = load_translations(), {node.synset for node in list_nodes(list_synsets("imagenet-1k"))}
    assert table.keys() <= nodes and len(table) > 1500
    words = [name for names in table.values() for name in names]
    assert all(name == " ".join(name.split()) and "_" not in name for name in words)
    assert not any("\u0591" <= letter <= "\u05c7" for name in words for letter in name)  # Hebrew points


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("synset\tda\tel\nn1\thund\n", r":2: expected a synset and 2 names"),
        ("synset\tda\nn1\t\n", r":2: expected a synset and 1 names"),
        ("synset\tda\n\thund\n", r":2: expected"),
    ],
)
def test_a_damaged_table_of_names_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "wordnet-names.tsv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=sentence):
        read_translations(path)
    path.write_bytes(b"synset\tda\nn1\t\xff\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_translations(path)


def test_names_in_a_configuration_become_synsets_where_they_are_imagenets() -> None:
    classes = list_synsets("imagenet-1k")
    names = [", ".join(load_synsets()[synset].words) for synset in classes]
    assert match_labels(names) == classes
    assert match_labels(["rose, red rose", "tulip"]) == ["rose, red rose", "tulip"]
    assert match_labels(names[::-1]) == names[::-1]  # another order is another classifier
    nodes = list_nodes(["rose, red rose", "tulip_tree"])
    assert nodes == [Node(("rose", "red rose"), [0]), Node(("tulip tree",), [1])]


def test_efficientnet_lite_has_the_names_of_imagenet() -> None:
    plain, depths = describe("towers", "efficientnet-lite0"), describe("towers", "efficientnet-lite0:depths")
    found, other = read_vocabulary(plain), read_vocabulary(depths)
    assert found is not None and other is not None and {"dog", "flower", "hammer"} <= set(found.names)
    assert found.prototypes.shape[1] == 1280 and other.prototypes.shape[1] == depths.dim
    assert torch.equal(other.prototypes[:, :1280], found.prototypes) and not other.prototypes[:, 1280:].any()
    assert read_vocabulary(describe("towers", "efficientnet-lite0:,layers=5")) is None


def test_a_timm_model_has_names_where_its_weights_have_a_classifier(tmp_path: Path) -> None:
    import timm

    model = timm.create_model(
        "test_vit", pretrained=False
    )  # random weights: only where the classifier lies is asked here
    save_file(model.state_dict(), tmp_path / "whole.safetensors")
    bare = timm.create_model("test_vit", pretrained=False, num_classes=0)
    save_file(bare.state_dict(), tmp_path / "bare.safetensors")
    other = timm.create_model("test_vit", pretrained=False, num_classes=37)
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    towers = {
        name: describe("towers", f"timm:test_vit,weights={tmp_path / name}.safetensors")
        for name in ("whole", "bare", "other")
    }
    found = read_vocabulary(towers["whole"])
    assert found is not None and found.prototypes.shape[1] == towers["whole"].dim
    assert read_vocabulary(towers["bare"]) is None and read_vocabulary(towers["other"]) is None


def test_an_image_classifier_of_transformers_brings_its_own_labels(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    names = {number: f"thing {number}, {number} things" for number in range(24)}
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        id2label=names,
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    found = read_vocabulary(describe("towers", str(tmp_path)))
    assert found is not None and len(found) == 24 and list(found.names[:2]) == ["thing 0", "0 things"]


def test_towers_side_by_side_have_their_names_in_their_own_place() -> None:
    both = describe("towers", "efficientnet-lite0:,layers=5+efficientnet-lite0")
    found = read_vocabulary(both)
    assert (
        found is not None and found.prototypes.shape[1] == both.dim and not found.prototypes[:, : both.dim - 1280].any()
    )


def test_a_tower_without_names_is_aligned_without_them_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    method = find("methods", "heads").METHOD
    recipe = ModelConfig(method="heads", vision_tower="efficientnet-lite0:,layers=5")
    with show_messages():
        assert add_class_names(recipe, method, wanted=True) == recipe
    assert "efficientnet-lite0:,layers=5 has no class names: aligned without them." in capsys.readouterr().err
    assert (
        add_class_names(ModelConfig(method="heads", vision_tower="efficientnet-lite0"), method, wanted=False).name_units
        == 0
    )
    assert (
        add_class_names(
            ModelConfig(method="ridge", vision_tower="efficientnet-lite0"), find("methods", "ridge").METHOD, wanted=True
        ).name_units
        == 0
    )
