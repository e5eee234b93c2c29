"""What each branch is trained on: cached features, or hidden states at the cut while its encoder is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core import distributed
from polyclip.data.pairs import Pairs
from polyclip.errors import RunError
from polyclip.evaluation.metrics import compute_ranks, recall
from polyclip.models import encoding, feature_cache, feature_rows
from polyclip.models.aligner import PolyCLIP
from polyclip.models.branch import Branch
from polyclip.models.components.joint_head import FEWER, JointHead, sample_rows
from polyclip.models.finite import describe_damaged
from polyclip.models.trunk.trainable_rows import restore_matrix, train_rows
from polyclip.training.collapse import measure_spreads

KS = (1, 5, 10)
NOUNS = {"text": "captions", "vision": "images"}


@dataclass(frozen=True)
class EncodedSplit:
    """Items of one split as a branch reads them.

    Attributes:
        pairs: Which captions and images belong together.
        items: Captions, or image sources.
        sections: Lengths of runs of items that are cached together.
        features: Of the frozen encoder, [item, width]; rows that stay in the cache where the pairs are mapped.

    """

    pairs: Pairs
    items: Sequence[Any]
    sections: list[int]
    features: Any


def encode_split(branch: Branch, pairs: Pairs, name: str) -> EncodedSplit:
    """Encode the items of a split with the frozen encoder, from the cache where they are there.

    Args:
        branch: The text or the vision branch.
        pairs: Of the split.
        name: Of the split, for the progress bar.

    Returns:
        The items with their features.

    """
    items, sections = (
        (pairs.captions, pairs.sections[0]) if branch.kind == "text" else (pairs.images, pairs.sections[1])
    )
    encode = feature_cache.encode if pairs.strata is None else feature_rows.open_features
    return EncodedSplit(pairs, items, sections, encode(branch.tower, items, f"{name} {NOUNS[branch.kind]}", sections))


def encode_branch(branch: Branch, train: Pairs, held_out: Pairs, *, even: bool = False) -> "BranchData":
    """Encode training and validation items of a branch.

    Args:
        branch: The text or the vision branch.
        train: Training pairs.
        held_out: Validation pairs.
        even: Whether the live encoder runs as often in every process, which divided encoders require.

    Returns:
        What a training run feeds the branch with.

    """
    return BranchData(
        branch, encode_split(branch, train, "training"), encode_split(branch, held_out, "validation"), even
    )


class BranchData:
    """What a branch is fed with: cached features, or hidden states at the cut while its encoder is trained.

    Args:
        side: The text or the vision branch.
        train: Its training items with their features.
        held_out: Its validation items with their features.
        even: Whether the encoder runs as often in every process, which sharded encoders require.

    """

    def __init__(self, side: Branch, train: EncodedSplit, held_out: EncodedSplit, even: bool = False) -> None:
        self.side, self.even, self.live = side, even, False
        self.train_pairs, self.train, self.sections, self.table = (
            train.pairs,
            train.items,
            train.sections,
            train.features,
        )
        self.held_out_pairs, self.held_out = held_out.pairs, held_out.items
        self.held_out_sections, self.held_out_table = held_out.sections, held_out.features
        self._few: Tensor | None = None
        self._selected: tuple[Any, Tensor, dict[str, Tensor]] | None = None

    def measure_head(self) -> None:
        """Set the head's means and standard deviations to those of the training features."""
        self.side.head.measure(self.table)

    def attach_backbone(self) -> None:
        """Run the encoder above its cut from now on, on cached hidden states.

        Captions of an encoder that is trained from its token embeddings on are tokenized instead.
        """
        if self.side.encoder is None:
            return
        self.live = True
        self.states: Any = None
        if self.side.cut > 0 or self.side.kind == "vision":
            noun = NOUNS[self.side.kind]
            self.states = feature_cache.states(
                self.side.tower, self.side.cut, self.train, f"training {noun} below the cut", self.sections
            )
            self.held_out_states = feature_cache.states(
                self.side.tower,
                self.side.cut,
                self.held_out,
                f"validation {noun} below the cut",
                self.held_out_sections,
            )
        self.read_costs()

    def read_costs(self) -> None:
        """Read the captions' lengths, and where the embedding matrix is trained, which of its rows they use."""
        self.costs = self.side.encoder.costs(self.train)
        if self.side.kind == "text" and self.side.cut == 0:
            train_rows(self.side.encoder, self.train)

    def attach_rows(self, rows: list[int]) -> None:
        """Run the encoder on these training rows alone, without the cache, to measure what steps cost.

        Args:
            rows: Training rows of this branch.

        """
        encoder, self.live, self.states = self.side.encoder, True, None
        self.read_costs()
        if self.side.cut > 0 or self.side.kind == "vision":
            running = encoding.get_inference_form(encoder)
            found = encoding.encode_states(running, [self.train[row] for row in rows], self.side.cut, lambda _: None)
            self.states = dict(zip(rows, found, strict=True))

    def detach_backbone(self) -> None:
        """Return to cached features, with the embedding matrix whole again."""
        self.live, self.states = False, None
        if self.side.kind == "text" and self.side.encoder is not None:
            restore_matrix(self.side.encoder)

    def make_inputs(self, rows: Int[Tensor, " pair"]) -> dict[str, Any]:
        """Make the branch's inputs for training rows.

        Args:
            rows: Caption or image rows of a step.

        Returns:
            Features, or hidden states at the cut in batches of similar length.

        """
        if not self.live:
            whole = isinstance(self.table, Tensor)  # otherwise rows on disk; to index by `[]` takes nine times as long
            return {"vectors": self.table.index_select(0, rows) if whole else self.table[rows]}
        encoder, wanted = self.side.encoder, rows.tolist()
        order = torch.tensor(sorted(range(len(wanted)), key=lambda place: self.costs[wanted[place]]))
        count = math.ceil(len(wanted) / encoder.grain)
        batches = (
            order.tensor_split(max(distributed.gather_objects(count))) if self.even else order.split(encoder.grain)
        )
        states = []
        for batch in batches:
            own = [wanted[place] for place in batch.tolist()]
            states.append(
                encoder.prepare([self.train[row] for row in own])
                if self.states is None
                else encoder.join([self.states[row] for row in own])
            )
        return {"states": states, "order": order.argsort()}

    @torch.no_grad()
    def embed_held_out(self, wanted: Tensor | slice = slice(None)) -> Float[Tensor, "item dim"]:
        """Embeddings of the validation items with the current weights, of those that `wanted` selects."""
        head = self.side.head
        device = next((p.device for p in head.parameters()), torch.device("cpu"))
        if isinstance(head, JointHead) and not head.is_settled:
            head.balance(self.read_balance_rows())
        if not self.live:
            features, given = self.select_held_out(wanted)
            return head(features.to(device), **{name: part.to(device) for name, part in given.items()}).cpu()
        what = f"validation {NOUNS[self.side.kind]}"
        encoder = self.side.encoder
        found = (
            feature_cache.forward(encoder, self.held_out, what)
            if self.states is None
            else feature_cache.finish(encoder, self.held_out_states, what)
        )
        return head(found[wanted].to(device)).cpu()

    def read_balance_rows(self) -> Float[Tensor, "few width"]:
        """Training features on which mean lengths are measured before each validation, read once."""
        if self._few is None:
            self._few = sample_rows(self.table, FEWER)
        return self._few

    def select_held_out(self, wanted: Tensor | slice) -> tuple[Float[Tensor, "item width"], dict[str, Tensor]]:
        """Features of the validation items that `wanted` selects, and what of the head training does not change: found
        once, as long as the same object is asked for.
        """
        if self._selected is None or self._selected[0] is not wanted:
            head, features = self.side.head, self.held_out_table[wanted]
            names = isinstance(head, JointHead) and head.names is not None
            given = {"of_names": head.compute_names(features.to(head.mean.device)).cpu()} if names else {}
            self._selected = (wanted, features, given)
        return self._selected[1:]


class Validation:
    """Validation recall of the model with the weights it has when it is called.

    Args:
        aligner: The model.
        held_out: Validation pairs.
        sides: Data of the text and the vision branch.

    Attributes:
        spreads: How far apart embeddings and scores lay at the last call, as `measure_spreads` returns them.

    """

    def __init__(self, aligner: PolyCLIP, held_out: Pairs, sides: list[BranchData]) -> None:
        self.aligner, self.held_out, self.sides = aligner, held_out, sides
        self.names = held_out.caption_weight > 0
        self.owner = torch.full((len(held_out.images),), -1)
        for concept, rows in enumerate(held_out.image_rows.tolist()):
            self.owner[[row for row in rows if row >= 0]] = concept
        self.spreads: dict[str, float] = {}

    def __call__(self) -> float:
        """Return the mean of text-to-image recall@1, 5 and 10, in [0, 1], of the validation names among all validation
        images of all styles.
        """
        found = self.rank()
        return sum(recall(found, k).mean().item() for k in KS) / len(KS)

    def rank(self) -> Int[Tensor, " query"]:
        """Rank (0 is best) of each validation name's correct image."""
        self.aligner.eval()
        text, image = self.sides[0].embed_held_out(self.names), self.sides[1].embed_held_out()
        items = [self.held_out.captions[row] for row in self.names.nonzero()[:, 0].tolist()]
        refuse_damaged(text, items, "captions")
        refuse_damaged(image, self.held_out.images, "images")
        self.spreads = measure_spreads(text, image)
        return compute_ranks(text, image, self.held_out.caption_concept[self.names], self.owner)


def refuse_damaged(embeddings: Float[Tensor, "item dim"], items: Sequence[Any], what: str) -> None:
    """Check that all embeddings of validation items are finite.

    Raises:
        RunError: Some are not; the first of them are named.

    """
    if bad := describe_damaged(embeddings.isfinite().all(dim=1), items, f"validation {what}"):
        raise RunError(
            f"NaN or infinite embeddings of {bad}: the weights diverged, or those of an encoder are damaged. Lower "
            "--learning-rate, or write --precision fp32; no model was saved."
        )
