"""What each side of a training run is fed with: features from the cache, or hidden states at the cut where a tower is live."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core import distributed
from polyclip.data.pairs import Pairs
from polyclip.evaluation.metrics import ranks, recall
from polyclip.models import feature_cache, feature_rows
from polyclip.models.aligner import PolyCLIP
from polyclip.models.branch import Branch
from polyclip.models.components.joint_head import JointHead
from polyclip.models.trunk.trainable_rows import train_rows, train_whole

KS = (1, 5, 10)
NOUNS = {"text": "captions", "vision": "pictures"}


@dataclass
class BranchData:
    """Training and validation items of one side, their features computed once, and the states at the cut where the tower is live.

    Also measures the head's means and deviations on the training features.
    """

    side: Branch
    train_pairs: Pairs
    held_out_pairs: Pairs
    even: bool = False  # whether the live tower is run as often in every process, which divided towers need

    def __post_init__(self) -> None:
        self.train, self.sections, self.table = self.encoded(self.train_pairs, "training")
        self.held_out, self.held_out_sections, self.held_out_table = self.encoded(self.held_out_pairs, "validation")
        self.live = False
        self.side.head.measure(self.table)

    def encoded(self, pairs: Pairs, what: str) -> tuple[Sequence[Any], list[int], Any]:
        """Items of this side, the lengths of their sections, and their features: a tensor, or rows that stay in the cache where the pairs are mapped."""
        items, sections = (
            (pairs.captions, pairs.sections[0]) if self.side.kind == "text" else (pairs.pictures, pairs.sections[1])
        )
        encode = feature_cache.encode if pairs.strata is None else feature_rows.rows_of
        return items, sections, encode(self.side.tower, items, f"{what} {NOUNS[self.side.kind]}", sections)

    def go_live(self) -> None:
        """From now on the tower is run above its cut; captions of a tower that is live from its tokens on are read as they are."""
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
        self.own_rows()

    def own_rows(self) -> None:
        """Read what the steps need to know of the captions: their lengths, and where the token table is trained, which of its rows."""
        self.costs = self.side.encoder.costs(self.train)
        if self.side.kind == "text" and self.side.cut == 0:
            train_rows(self.side.encoder, self.train)

    def rehearse(self, rows: list[int]) -> None:
        """As `go_live`, but for these training rows alone and past the cache: to measure what steps cost."""
        encoder, self.live, self.states = self.side.encoder, True, None
        self.own_rows()
        if self.side.cut > 0 or self.side.kind == "vision":
            running = feature_cache.inference_form(encoder)
            found = feature_cache.states_in_batches(
                running, [self.train[row] for row in rows], self.side.cut, lambda _: None
            )
            self.states = dict(zip(rows, found, strict=True))

    def rest(self) -> None:
        """Back to the cached features, the token table in one piece."""
        self.live, self.states = False, None
        if self.side.kind == "text" and self.side.encoder is not None:
            train_whole(self.side.encoder)

    def inputs(self, rows: Int[Tensor, " pair"]) -> dict[str, Any]:
        """What the side takes for these training rows."""
        if not self.live:
            return {"vectors": self.table[rows]}
        encoder, wanted = self.side.encoder, rows.tolist()
        order = torch.tensor(sorted(range(len(wanted)), key=lambda place: self.costs[wanted[place]]))
        count = math.ceil(len(wanted) / encoder.grain)
        batches = order.tensor_split(max(distributed.everyones(count))) if self.even else order.split(encoder.grain)
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
    def unit_held_out(self) -> Float[Tensor, "item dim"]:
        """Unit vectors of the validation items as the side is now."""
        device = next((p.device for p in self.side.head.parameters()), torch.device("cpu"))
        if isinstance(self.side.head, JointHead) and not self.side.head.is_settled:
            self.side.head.balance(self.table)
        if not self.live:
            return self.side.head(self.held_out_table.to(device)).cpu()
        what = f"validation {NOUNS[self.side.kind]}"
        encoder = self.side.encoder
        found = (
            feature_cache.forward(encoder, self.held_out, what)
            if self.states is None
            else feature_cache.finish(encoder, self.held_out_states, what)
        )
        return self.side.head(found.to(device)).cpu()


def validation(aligner: PolyCLIP, held_out: Pairs, sides: list[BranchData]) -> Callable[[], float]:
    """Mean of text-to-image recall@1, 5 and 10 of the validation names among all validation pictures of all styles."""
    rank = validation_ranks(aligner, held_out, sides)

    def value() -> float:
        found = rank()
        return sum(recall(found, k).mean().item() for k in KS) / len(KS)

    return value


def validation_ranks(
    aligner: PolyCLIP, held_out: Pairs, sides: list[BranchData]
) -> Callable[[], Int[Tensor, " query"]]:
    """The rank (0 is best) of the own picture of each of these names, with the aligner as it then is."""
    names = held_out.caption_weight > 0
    owner = torch.full((len(held_out.pictures),), -1)
    for concept, rows in enumerate(held_out.picture_rows.tolist()):
        owner[[row for row in rows if row >= 0]] = concept

    def found() -> Tensor:
        aligner.eval()
        text, image = (data.unit_held_out() for data in sides)
        return ranks(text[names], image, held_out.caption_concept[names], owner)

    return found
