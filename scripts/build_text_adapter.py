"""Train a text adapter: norms and biases with which a concept's names in many languages lie near its English name.

    python scripts/build_text_adapter.py polyclip/models/text/adapters/names.safetensors

It learns from text alone and from training concepts alone: the names and keywords that CLDR has for the starter
corpus' training concepts in about 140 locales. Captions that are a held-out concept's name in any language are left
out. Each step draws captions of random languages; a caption's features are compared with anchors of all training
concepts (half the frozen encoder's English name, half the mean of the languages of XM3600), by cross-entropy over
cosines of standardized features; English stays where it was by the distance to the frozen encoder's features. The best
of the evaluations on validation concepts is kept, and what is written lies half-way between the frozen values and the
trained ones (`--strength`), as in WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903). Settings were chosen on validation
and further training concepts that were held out for it: docs/explanation/text-adapter.md.

`--oracle` makes an adapter to compare with, never one to use: it also sees the names that validation and test are
searched by, in the languages of XM3600, half of each batch. What it reaches is a ceiling of adapters of this form.
"""

import argparse
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from polyclip.core.encode_precision import BF16, pick_encode_precision
from polyclip.core.matmul import multiply_at_full_rate
from polyclip.core.progress import Progress, show_messages
from polyclip.data.corpus import load_corpus
from polyclip.data.readers import emoji
from polyclip.languages.resolve import load_languages
from polyclip.models.backbone import describe
from polyclip.models.e5_file import FILE_SHA256
from polyclip.models.encoding import encode_items, get_inference_form
from polyclip.models.text_adapter import BASE

TEMPERATURE = 0.2
NAME_SHARE = 0.6  # of the captions that are drawn, where a concept has keywords too
ENGLISH_SHARE = 0.125  # of a batch
FEWEST = 100  # concepts that a locale names
ORACLE_SHARE = 0.5  # of an oracle's batch: names of validation and test concepts
Captions = dict[str, tuple[str, ...]]  # by concept: the name first, then keywords


@dataclass
class Data:
    """Captions by locale, and which concepts may be learnt from."""

    train: dict[str, Captions]
    validation: dict[str, Captions]
    languages: list[str]  # of XM3600, as locales
    dropped: int  # captions that name a held-out concept
    held_out: dict[str, Captions]  # names of validation and test concepts: for an oracle alone, else empty

    def __post_init__(self) -> None:
        """List each locale's concepts, to draw from."""
        self.lists = {locale: list(own.items()) for locale, own in self.train.items()}
        self.held_out_lists = {locale: list(own.items()) for locale, own in self.held_out.items()}


def read_data(*, oracle: bool = False) -> Data:
    """Read the starter corpus; captions that are a held-out concept's name in any locale are left out of training.

    Args:
        oracle: Keep to the languages of XM3600, leave nothing out, and hand out held-out concepts' names too.

    """
    folder = load_corpus("emoji").folder
    found = emoji.languages(folder)
    concepts = {split: set(emoji.split_concepts(folder, split)) for split in ("train", "validation")}
    everything = {locale: emoji.read_captions(folder, locale) for locale in found}
    names = {
        captions[concept][0].casefold()
        for captions in everything.values()
        for concept in captions.keys() - concepts["train"]
    }
    measured = [pack.cldr for pack in load_languages() if pack.xm3600 and pack.cldr in everything]
    train, dropped = {}, 0
    for locale in measured if oracle else choose_locales(found):
        own = {c: texts for c, texts in everything[locale].items() if oracle or c in concepts["train"]}
        kept = {c: tuple(text for text in texts if oracle or text.casefold() not in names) for c, texts in own.items()}
        dropped += sum(map(len, own.values())) - sum(map(len, kept.values()))
        train[locale] = {c: texts for c, texts in kept.items() if texts}
    validation, held_out = (
        {locale: {c: t for c, t in everything[locale].items() if wanted(c)} for locale in measured}
        for wanted in (concepts["validation"].__contains__, lambda concept: oracle and concept not in concepts["train"])
    )
    return Data({k: v for k, v in train.items() if len(v) >= FEWEST}, validation, measured, dropped, held_out)


def choose_locales(found: Sequence[str]) -> list[str]:
    """Languages and scripts, without regional variants such as `es-MX` of a language that is there itself."""
    return [
        locale
        for locale in found
        if locale != "root" and not ("-" in locale and locale.split("-")[0] in found and len(locale.split("-")[1]) == 2)
    ]


class Encoder:
    """The text encoder whose norms and biases are trained, and its frozen form before that."""

    def __init__(self) -> None:
        spec = describe("encoders", "e5-small")
        self.encoder, frozen = spec.build(), spec.build()
        self.precision = pick_encode_precision()
        self.frozen = get_inference_form(frozen, self.precision)
        self.vectors = {
            name: parameter
            for name, parameter in self.encoder.model.named_parameters()
            if name.startswith("encoder.layer.") and parameter.ndim == 1
        }
        for vector in self.vectors.values():
            vector.requires_grad_(True)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Features with gradients: [caption, width]; short and long captions apart, for little padding."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == BF16):
            parts = [
                self.encoder(**self.encoder.prepare([texts[row] for row in order[start : start + 64]])).float()
                for start in range(0, len(texts), 64)
            ]
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[back]

    @torch.inference_mode()
    def encode_now(self, texts: Sequence[str]) -> Tensor:
        """Features as they are now, without gradients."""
        with Progress("names to be measured", len(texts)) as progress:
            return encode_items(get_inference_form(self.encoder.eval(), self.precision), texts, progress.advance)

    @torch.inference_mode()
    def encode_frozen(self, texts: Sequence[str]) -> Tensor:
        """Features of the frozen encoder."""
        with Progress("captions through the frozen encoder", len(texts)) as progress:
            return encode_items(self.frozen, texts, progress.advance)


class Anchors:
    """Where a concept's captions should lie: features of the frozen encoder, in standardized space."""

    def __init__(self, data: Data, encoder: Encoder) -> None:
        named = [(c, t[0]) for locale in data.languages for c, t in data.train[locale].items()]
        features = encoder.encode_frozen([text for _, text in named])
        self.concepts = sorted({concept for concept, _ in named})
        self.number = {concept: number for number, concept in enumerate(self.concepts)}
        self.mean, self.deviation = features.mean(0), features.std(0)
        words = list(dict.fromkeys(text for texts in data.train["en"].values() for text in texts))
        self.english = dict(zip(words, encoder.encode_frozen(words), strict=True))  # features, by caption
        rows = torch.tensor([self.number[concept] for concept, _ in named])
        sums = torch.zeros(len(self.concepts), features.shape[1]).index_add_(0, rows, features)
        means = sums / torch.bincount(rows, minlength=len(self.concepts))[:, None]
        english = torch.stack(
            [
                self.english[data.train["en"][c][0]] if c in data.train["en"] else means[n]
                for n, c in enumerate(self.concepts)
            ]
        )
        self.vectors = normalize(self.project(english) + self.project(means), dim=-1)

    def project(self, features: Tensor) -> Tensor:
        """Standardized and normalized."""
        return normalize((features - self.mean) / self.deviation, dim=-1)

    def compute_loss(self, features: Tensor, concepts: Sequence[str]) -> Tensor:
        """Cross-entropy of the right anchor among all."""
        logits = self.project(features) @ self.vectors.T / TEMPERATURE
        return cross_entropy(logits, torch.tensor([self.number[concept] for concept in concepts]))

    def compute_drift(self, features: Tensor, texts: Sequence[str]) -> Tensor:
        """Squared distance of English captions from the frozen encoder's features, in units of the variance."""
        before = torch.stack([self.english[text] for text in texts])
        return (((features - before) / self.deviation) ** 2).mean()


def draw(data: Data, anchors: Anchors, size: int, luck: random.Random) -> tuple[list[str], list[str], int]:
    """Draw captions, English ones first, their concepts, and how many are English: locales evenly, then concepts."""
    english, locales = round(size * ENGLISH_SHARE), list(data.train)
    texts, concepts = [], []
    while len(texts) < size:
        locale = "en" if len(texts) < english else luck.choice(locales)
        named = data.held_out_lists.get(locale)
        if named and len(texts) >= english and luck.random() < ORACLE_SHARE:
            concept, own = luck.choice(named)
            own = own[:1]
        else:
            concept, own = luck.choice(data.lists[locale])
        if concept in anchors.number:
            texts.append(own[0] if len(own) == 1 or luck.random() < NAME_SHARE else luck.choice(own[1:]))
            concepts.append(concept)
    return texts, concepts, english


def measure(data: Data, anchors: Anchors, encode: Callable[[Sequence[str]], Tensor]) -> tuple[float, float]:
    """How well validation concepts' names and their English names find each other, among all of a language.

    Returns:
        Percent of names that find their English one, and of English ones that find theirs; means over languages.

    """
    english = data.validation["en"]
    base = dict(zip(english, anchors.project(encode([t[0] for t in english.values()])), strict=True))
    there, back = [], []
    for locale, captions in data.validation.items():
        both = [concept for concept in captions if concept in english]
        if locale == "en" or not both:
            continue
        scores = anchors.project(encode([captions[c][0] for c in both])) @ torch.stack([base[c] for c in both]).T
        truth = torch.arange(len(both))
        there.append((scores.argmax(1) == truth).float().mean().item())
        back.append((scores.argmax(0) == truth).float().mean().item())
    return 100 * sum(there) / len(there), 100 * sum(back) / len(back)


def train(data: Data, encoder: Encoder, anchors: Anchors, args: argparse.Namespace) -> tuple[dict[str, Tensor], str]:
    """Train and return the best vectors, and what was measured on the way, one line an evaluation."""
    luck = random.Random(args.seed)
    vectors = list(encoder.vectors.values())
    optimizer = torch.optim.AdamW(vectors, lr=args.learning_rate, weight_decay=0.0, betas=(0.9, 0.98))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, (step + 1) / (0.1 * args.steps)) * 0.5 * (1 + math.cos(math.pi * step / args.steps)),
    )
    start, best, lines = time.perf_counter(), (0.0, {}), []
    for step in range(args.steps + 1):
        if step % args.evaluate == 0 or step == args.steps:
            value = measure(data, anchors, encoder.encode_now)
            lines.append(f"{step} {value[0]:.2f} {value[1]:.2f}")
            print(
                f"step {step}: {value[0]:.1f} % find their English name, {value[1]:.1f} % are found by it, "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )
            if sum(value) > best[0]:
                best = (sum(value), {name: vector.detach().clone() for name, vector in encoder.vectors.items()})
        if step == args.steps:
            break
        texts, concepts, english = draw(data, anchors, args.batch_size, luck)
        with multiply_at_full_rate():
            features = encoder.encode(texts)
            loss = anchors.compute_loss(features, concepts) + anchors.compute_drift(features[:english], texts[:english])
            optimizer.zero_grad()
            loss.backward()
        nn.utils.clip_grad_norm_(vectors, 1.0)
        optimizer.step()
        rate.step()
    return best[1], ";".join(lines)


def main() -> None:
    """Train, and write the adapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--evaluate", type=int, default=150, help="steps between evaluations")
    parser.add_argument("--strength", type=float, default=0.5, help="0: frozen values, 1: trained ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--oracle", action="store_true", help="see held-out names too: a ceiling, not for use")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    data, encoder = read_data(oracle=args.oracle), Encoder()
    print(
        f"{len(data.train)} locales, {sum(len(t) for c in data.train.values() for t in c.values())} captions, "
        f"{data.dropped} left out as names of held-out concepts, "
        f"{sum(v.numel() for v in encoder.vectors.values())} values trained",
        flush=True,
    )
    with show_messages(), multiply_at_full_rate():
        anchors = Anchors(data, encoder)
    before = {name: vector.detach().clone() for name, vector in encoder.vectors.items()}
    with show_messages():
        trained, measured = train(data, encoder, anchors, args)
    vectors = {name: torch.lerp(before[name], trained[name], args.strength) for name in sorted(trained)}
    facts = {
        key: str(getattr(args, key)) for key in ("steps", "batch_size", "learning_rate", "strength", "seed", "oracle")
    }
    metadata: dict[str, Any] = {BASE: FILE_SHA256, "locales": str(len(data.train)), "validation": measured} | facts
    part = args.out.with_suffix(".part")
    save_file(vectors, part, metadata=metadata)
    part.replace(args.out)
    print(f"Wrote {args.out}: {args.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
