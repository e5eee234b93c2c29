"""Encoder-decoder models of transformers: what `nllb`, `m2m100`, `madlad` and `opus-mt` share. Safetensors only, no remote code."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.core.storage import digest, sha256
from polyclip.errors import DataError, WeightsError
from polyclip.models.hf import loading
from polyclip.translation.engine import Options
from polyclip.translation.engines._direction import Direction, tell
from polyclip.translation.engines._drawing import Draw
from polyclip.translation.engines._reading import Batch, Reading

HINT = (
    "Give a local folder with config.json, the tokenizer's files and model.safetensors, or a hub name while online (HF_HUB_OFFLINE unset); "
    "where a repository keeps its safetensors in a pull request, give that as revision (refs/pr/N)."
)
NO_LIMIT = 100_000  # tokens; a tokenizer without a limit says 1e30


def load(name: str, revision: str) -> tuple[Any, Any, str]:
    """Model, tokenizer and provenance (`nllb-200-distilled-600M@<hash>`) of a hub name or a folder.

    Raises WeightsError in one sentence where they cannot be had.
    """
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    kept = {"revision": revision or "main", "trust_remote_code": False}
    with loading("translation model", name, HINT):
        known_as = provenance(name, revision or "main")
        tokenizer = AutoTokenizer.from_pretrained(name, **kept)
        model = AutoModelForSeq2SeqLM.from_pretrained(name, use_safetensors=True, **kept)
    model = model.to("cuda") if torch.cuda.is_available() else model.float()
    return model.requires_grad_(False).eval(), tokenizer, known_as


def provenance(name: str, revision: str) -> str:
    """A hub name with the commit `revision` stands for, a folder with a hash of its weights and tokenizer."""
    folder = Path(name)
    if folder.is_dir():
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix in {".safetensors", ".bin", ".json", ".model", ".spm", ".txt"}
        )
        if not files:
            raise WeightsError(f"{folder} has no model in it. {HINT}")
        return f"{folder.resolve().name}@{digest(*(f'{path.name} {sha256(path)}' for path in files))[:12]}"
    from huggingface_hub import snapshot_download

    return f"{name.rpartition('/')[2]}@{Path(snapshot_download(name, revision=revision, allow_patterns=['config.json'])).name[:12]}"


def check(options: Options) -> None:
    """Raises DataError where a beam search cannot give so many candidates."""
    if not options.sample and options.candidates > options.beams:
        raise DataError(
            f"{options.candidates} candidates need as many beams, found {options.beams}: set beams to {options.candidates}, or draw them (sample)."
        )


def longest(tokenizer: Any, positions: int, options: Options, model: str) -> int:
    """Tokens a model reads and writes: the smaller of what the tokenizer and the positions allow.

    Raises DataError where `max_tokens` is more.
    """
    limit = int(min(tokenizer.model_max_length, positions))
    if options.max_tokens >= limit:
        raise DataError(f"max_tokens is {options.max_tokens}, but {model} writes fewer than {limit} tokens; lower it.")
    return limit


def build(name: str, options: Options, towards: Callable[[Any], Direction]) -> "Seq2Seq":
    """The engine of a model; `towards` gives the direction once the tokenizer is known."""
    check(options)
    model, tokenizer, known_as = load(name, options.revision)
    direction = towards(tokenizer)
    tell(tokenizer, direction, name)
    limit = longest(tokenizer, getattr(model.config, "max_position_embeddings", None) or NO_LIMIT, options, name)
    return Seq2Seq(known_as, model, Reading(tokenizer, direction, limit), options)


class Seq2Seq:
    """A frozen model that translates in one direction.

    Texts it cannot read whole and translations that reach no end within `max_tokens` are left out and counted in `refused`.
    """

    def __init__(self, name: str, model: Any, reading: Reading, options: Options) -> None:
        self.name, self.model, self.reading, self.options = name, model, reading, options
        self.refused: Counter[str] = Counter()
        settings = model.generation_config
        settings.max_length = None  # max_new_tokens counts instead
        settings.forced_eos_token_id = None  # Marian's would end a cut translation as if it were whole
        settings.forced_bos_token_id = reading.forced
        settings.do_sample = False
        settings.top_k = settings.top_p = settings.temperature = None

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Candidates of each text, the likeliest first, or in the order they were drawn."""
        found: list[list[str]] = [[] for _ in texts]
        for batch in self.reading.batches(texts, self.options.batch_size, self.refused):
            written = self.write(batch, [texts[place] for place in batch.places])
            for row, place in enumerate(batch.places):
                own = written[row * self.options.candidates : (row + 1) * self.options.candidates]
                found[place] = self.reading.translations(own, self.refused)
        return found

    def write(self, batch: Batch, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each candidate without the decoder's start token; `candidates` rows a text."""
        from transformers import LogitsProcessorList

        ids, mask = self.pad(batch.rows)
        chosen = self.options
        search: dict[str, Any] = {"num_beams": chosen.beams, "num_return_sequences": chosen.candidates}
        if chosen.sample:
            ids, mask = (rows.repeat_interleave(chosen.candidates, 0) for rows in (ids, mask))
            draw = Draw(chosen.seed, texts, chosen.candidates, chosen.temperature)
            search = {"num_beams": 1, "logits_processor": LogitsProcessorList([draw])}
        with torch.inference_mode():
            out = self.model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=chosen.max_tokens, **search)
        rows: list[list[int]] = out[:, 1:].tolist()
        return rows

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and mask of shape [row, longest], filled on the right."""
        width, filler = max(map(len, rows)), self.reading.tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        return ids.to(self.model.device), mask.to(self.model.device)
