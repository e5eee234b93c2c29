"""Encoder-decoder models of transformers, shared by `nllb`, `m2m100`, `madlad` and `opus-mt`.

Safetensors only, no remote code.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.core.device import current_device
from polyclip.core.storage import hash_file, hash_parts
from polyclip.errors import DataError, WeightsError
from polyclip.models.hf import explain_loading_errors
from polyclip.translation.engine import TranslationOptions
from polyclip.translation.engines._direction import Direction, set_languages
from polyclip.translation.engines._drawing import SeededSampling
from polyclip.translation.engines._reading import DirectedTokenizer, TokenBatch

HINT = (
    "Give a local folder with config.json, the tokenizer's files and model.safetensors, or a hub name while online "
    "(HF_HUB_OFFLINE unset); "
    "where a repository keeps its safetensors in a pull request, give that as revision (refs/pr/N)."
)
NO_LIMIT = 100_000  # tokens; a tokenizer without a limit says 1e30


def load(name: str, revision: str) -> tuple[Any, Any, str]:
    """Load model, tokenizer and provenance (`nllb-200-distilled-600M@<hash>`) of a hub name or a folder.

    Raises:
        WeightsError: They cannot be loaded.

    """
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    kept = {"revision": revision or "main", "trust_remote_code": False}
    with explain_loading_errors("translation model", name, HINT):
        known_as = get_provenance(name, revision or "main")
        tokenizer = AutoTokenizer.from_pretrained(name, **kept)
        model = AutoModelForSeq2SeqLM.from_pretrained(name, use_safetensors=True, **kept)
    device = current_device()
    model = model.float() if device.type == "cpu" else model.to(device)
    return model.requires_grad_(False).eval(), tokenizer, known_as


def get_provenance(name: str, revision: str) -> str:
    """The provenance of a model: a hub name with the commit of `revision`, a folder with the hash of its files.

    Raises:
        WeightsError: The folder has no model.

    """
    folder = Path(name)
    if folder.is_dir():
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix in {".safetensors", ".bin", ".json", ".model", ".spm", ".txt"}
        )
        if not files:
            raise WeightsError(f"{folder} has no model in it. {HINT}")
        return f"{folder.resolve().name}@{hash_parts(*(f'{path.name} {hash_file(path)}' for path in files))[:12]}"
    from huggingface_hub import snapshot_download

    commit = Path(snapshot_download(name, revision=revision, allow_patterns=["config.json"])).name
    return f"{name.rpartition('/')[2]}@{commit[:12]}"


def check_options(options: TranslationOptions) -> None:
    """Check that a beam search can give that many candidates.

    Raises:
        DataError: There are more candidates than beams.

    """
    if not options.sample and options.candidates > options.beams:
        raise DataError(
            f"{options.candidates} candidates require as many beams, found {options.beams}: set beams to "
            f"{options.candidates}, or sample them (sample)."
        )


def get_limit(tokenizer: Any, positions: int, options: TranslationOptions, model: str) -> int:
    """The number of tokens a model reads and writes: the smaller of what the tokenizer and the positions allow.

    Raises:
        DataError: `max_tokens` is not below it.

    """
    limit = int(min(tokenizer.model_max_length, positions))
    if options.max_tokens >= limit:
        raise DataError(f"max_tokens is {options.max_tokens}, but {model} writes fewer than {limit} tokens; lower it.")
    return limit


def build(name: str, options: TranslationOptions, towards: Callable[[Any], Direction]) -> "Seq2SeqTranslator":
    """Build the engine of a model.

    Args:
        name: Hub name or folder.
        options: The options.
        towards: Gives the direction once the tokenizer is known.

    Returns:
        The engine.

    Raises:
        DataError: An option is out of range, or the tokenizer lacks a language.
        WeightsError: The model cannot be loaded.

    """
    check_options(options)
    model, tokenizer, known_as = load(name, options.revision)
    direction = towards(tokenizer)
    set_languages(tokenizer, direction, name)
    limit = get_limit(tokenizer, getattr(model.config, "max_position_embeddings", None) or NO_LIMIT, options, name)
    return Seq2SeqTranslator(known_as, model, DirectedTokenizer(tokenizer, direction, limit), options)


class Seq2SeqTranslator:
    """A frozen model that translates in one direction.

    Texts that it cannot read whole and translations without an end within `max_tokens` are left out and counted in
    `refused`.
    """

    def __init__(self, name: str, model: Any, reading: DirectedTokenizer, options: TranslationOptions) -> None:
        self.name, self.model, self.reading, self.options = name, model, reading, options
        self.refused: Counter[str] = Counter()
        settings = model.generation_config
        settings.max_length = None  # max_new_tokens counts instead
        settings.forced_eos_token_id = None  # Marian's would end a cut translation as if it were whole
        settings.forced_bos_token_id = reading.forced
        settings.do_sample = False
        settings.top_k = settings.top_p = settings.temperature = None

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Translate texts; the candidates of each are the most likely first, or in the order they were sampled."""
        found: list[list[str]] = [[] for _ in texts]
        for batch in self.reading.make_batches(texts, self.options.batch_size, self.refused):
            written = self.generate(batch, [texts[place] for place in batch.places])
            for row, place in enumerate(batch.places):
                own = written[row * self.options.candidates : (row + 1) * self.options.candidates]
                found[place] = self.reading.decode_candidates(own, self.refused)
        return found

    def generate(self, batch: TokenBatch, texts: Sequence[str]) -> list[list[int]]:
        """Generate the token ids of each candidate, without the decoder's start token; `candidates` rows a text."""
        from transformers import LogitsProcessorList

        ids, mask = self.pad(batch.rows)
        chosen = self.options
        search: dict[str, Any] = {"num_beams": chosen.beams, "num_return_sequences": chosen.candidates}
        if chosen.sample:
            ids, mask = (rows.repeat_interleave(chosen.candidates, 0) for rows in (ids, mask))
            draw = SeededSampling(chosen.seed, texts, chosen.candidates, chosen.temperature)
            search = {"num_beams": 1, "logits_processor": LogitsProcessorList([draw])}
        with torch.inference_mode():
            out = self.model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=chosen.max_tokens, **search)
        rows: list[list[int]] = out[:, 1:].tolist()
        return rows

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Pad rows on the right; ids and mask of shape [row, longest]."""
        width, filler = max(map(len, rows)), self.reading.tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        return ids.to(self.model.device), mask.to(self.model.device)
