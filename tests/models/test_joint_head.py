"""Heads that join into one map, and the class names beside them."""

import torch

from polyclip.core.vectors import fix_signs, normalize
from polyclip.exporters.merge import compute_joint_affine, compute_joint_layers
from polyclip.models.components.heads import HeadShape
from polyclip.models.components.joint_head import (
    CaptionFeatures,
    ClassRows,
    JointHead,
    NameFeatures,
    NameUnits,
    compute_within_concept_metric,
    fold,
)


def heads(
    *, hidden: int = 6, names: bool = True, space: int = 9
) -> tuple[JointHead, JointHead, torch.Tensor, torch.Tensor]:
    """A text and an image head, measured on features of their own."""
    torch.manual_seed(0)
    text_features, image_features = torch.randn(200, 8) + 3, torch.randn(150, 10) - 1
    text = JointHead(8, HeadShape(4, False, 2, hidden), 0.1, space, NameUnits(8, 5, 3) if names else None)
    image = JointHead(10, HeadShape(4, False, 2), 0.1, space, ClassRows(10, 3) if names else None)
    for head, features in ((text, text_features), (image, image_features)):
        head.measure(features)
        if head.names is not None:
            for buffer in head.names.buffers():
                buffer.copy_(torch.randn_like(buffer))
        head.balance(features)
        if head.names is not None:
            head.balance_names(features)
        head.eval()
    return text, image, text_features, image_features


@torch.no_grad()
def test_what_is_exported_says_what_the_head_says() -> None:
    for hidden in (6, 0):  # linear members go through GELU far from zero
        text, image, text_features, image_features = heads(hidden=hidden)
        fold(text, text_features, image, image_features)
        found = compute_joint_layers(text, "text", "x")
        said = (
            torch.nn.functional.gelu(text_features.double() @ found.inner.weight.T + found.inner.bias)
            @ found.outer.weight.T
            + found.outer.bias
        )
        torch.testing.assert_close(normalize(said), text(text_features).double(), atol=1e-4, rtol=0)
        map_ = compute_joint_affine(image, "vision", "x")
        torch.testing.assert_close(
            normalize(image_features.double() @ map_.weight.T + map_.bias),
            image(image_features).double(),
            atol=1e-5,
            rtol=0,
        )


@torch.no_grad()
def test_folding_keeps_cosines_where_enough_directions_are_left() -> None:
    text, image, text_features, image_features = heads(space=10)  # of 11
    before = text(text_features) @ image(image_features).T
    fold(text, text_features, image, image_features)
    after = text(text_features) @ image(image_features).T
    assert text(text_features).shape[1] == 10 and (before - after).abs().mean() < 0.05 < before.abs().mean()
    again = text.space.clone()
    fold(text, text_features, image, image_features)
    torch.testing.assert_close(text.space, again)


@torch.no_grad()
def test_parts_count_alike_whatever_their_length() -> None:
    text, _, features, _ = heads()
    text.names.outer.mul_(1000)  # type: ignore[union-attr, operator]
    text.balance(features)
    text.balance_names(features)
    lengths = torch.stack([part.norm(dim=1).mean() for part in text.compute_parts(features)]) * text.compute_weights()
    torch.testing.assert_close(lengths, torch.tensor([1.0, 1.0, 1.0]))  # two members, and names at half of each of them


def test_a_head_in_training_shows_its_members_alone() -> None:
    text, _, features, _ = heads()
    said = text.train()(features)
    assert said.shape == (200, 8)
    torch.testing.assert_close(said.norm(dim=1), torch.ones(200))
    assert not any(p.requires_grad for p in text.names.parameters())  # type: ignore[union-attr]


def test_a_caption_is_sent_to_the_images_of_the_name_it_is_nearest_to() -> None:
    torch.manual_seed(1)
    meaning = torch.randn(6, 12)
    accent = torch.zeros(12)
    accent[0] = 3.0  # how a second language differs, whatever is said
    english, other = meaning + 0.05 * torch.randn(6, 12), meaning + accent
    pairs = [torch.cat([one + 0.05 * torch.randn(6, 12) for _ in range(4)]) for one in (meaning, meaning + accent)]
    captions = CaptionFeatures(torch.cat(pairs), torch.arange(6).repeat(8))
    units = NameUnits(12, 6, 6)
    units.solve(NameFeatures(meaning, torch.arange(6), 6), captions, torch.eye(6))
    for said in (english, other):
        assert units(said).argmax(1).tolist() == list(range(6))
    metric = compute_within_concept_metric(captions, meaning)
    torch.testing.assert_close(metric, metric.T, atol=1e-4, rtol=1e-4)
    assert metric[0].norm() < metric[1].norm() / 2  # the accent counts little


def test_a_node_lies_in_the_middle_of_its_names_and_nearer_to_the_english_ones() -> None:
    english = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    names = NameFeatures(english, torch.tensor([1, 1, 0]), 3)
    assert names.average_nodes(2).tolist() == [[0.0, 5.0], [2.0, 0.0]]
    names = NameFeatures(torch.cat([english, torch.tensor([[6.0, 0.0], [2.0, 8.0]])]), torch.tensor([1, 1, 0, 1, 1]), 3)
    assert names.average_nodes(2).tolist() == [[0.0, 5.0], [3.0, 2.0]]  # (2 + 6 / 2 + 2 / 2) / 2, 8 / 2 / 2


def test_rows_keep_the_directions_in_which_classes_differ() -> None:
    rows = ClassRows(5, 2)
    prototypes = normalize(torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 0, 0, 0]]))
    placed = rows.solve(prototypes)
    torch.testing.assert_close(normalize(rows(prototypes)), placed)
    torch.testing.assert_close(placed @ placed.T, prototypes @ prototypes.T, atol=1e-5, rtol=0)


def test_which_way_a_direction_points_is_settled() -> None:
    columns = torch.tensor([[1.0, -3.0, 0.0], [-2.0, 2.0, 0.0]])
    wanted = torch.tensor([[-1.0, 3.0, 0.0], [2.0, -2.0, 0.0]])
    assert torch.equal(fix_signs(columns), wanted) and torch.equal(fix_signs(-columns), wanted)
