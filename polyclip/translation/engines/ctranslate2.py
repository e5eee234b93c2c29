"""Models converted for CTranslate2 (https://opennmt.net/CTranslate2), which translates several times faster on a processor.

`model` is a folder made once by `ct2-transformers-converter --model NAME --output_dir FOLDER --copy_files tokenizer.json tokenizer_config.json`
(for OPUS-MT: source.spm, target.spm, vocab.json and tokenizer_config.json; for M2M-100: sentencepiece.bpe.model, vocab.json and tokenizer_config.json).
Whether it is NLLB, M2M-100, MADLAD or OPUS-MT is read from its tokenizer. Its licence is that of the model that was converted.
"""

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyclip.errors import DataError, WeightsError
from polyclip.languages.schema import Language
from polyclip.translation.engine import Options, Translator, require
from polyclip.translation.engines import _direction
from polyclip.translation.engines._reading import Reading

CONSTANT = True
LICENCE = "NOASSERTION"
LIMIT = 1024  # tokens; no family above has more positions
CONVERT = (
    "Make one with 'ct2-transformers-converter --model NAME --output_dir FOLDER --copy_files tokenizer.json tokenizer_config.json' "
    "and give the folder as model."
)


def covers(language: Language) -> bool:
    """Whether the pack names a code of one of the families."""
    codes = language.codes
    return any((codes.nllb, codes.m2m100, codes.madlad, codes.opus_mt))


def build(source: Language, target: Language, options: Options) -> Translator:
    """Raises DataError for a language or options it lacks, WeightsError for a folder that is no converted model."""
    require("ctranslate2", source, target)
    if find_spec("ctranslate2") is None:
        raise DataError(
            "Engine ctranslate2 needs the package ctranslate2, which is not installed: pip install 'polyclip[translation]'."
        )
    if options.sample:
        raise DataError(
            "Engine ctranslate2 cannot draw translations that a seed repeats; use candidates of a beam search, or engine nllb or m2m100."
        )
    from polyclip.translation.engines._seq2seq import check, longest, provenance

    check(options)
    folder = Path(options.model)
    if not options.model or not (folder / "model.bin").is_file():
        raise WeightsError(
            f"Engine ctranslate2 needs a converted model; {options.model or 'no model'} was given and has no model.bin. {CONVERT}"
        )
    tokenizer, translator = load(folder)
    direction = towards(tokenizer, source, target, options.model)
    _direction.tell(tokenizer, direction, options.model)
    limit = longest(tokenizer, LIMIT, options, options.model)
    return Converted(
        provenance(options.model, ""), translator, Reading(tokenizer, direction, limit), direction.forced, options
    )


def load(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and translator of a converted folder.

    Raises WeightsError in one sentence where they cannot be had.
    """
    import ctranslate2
    from transformers import AutoTokenizer

    from polyclip.models.hf import loading

    with loading("converted model", str(folder), CONVERT):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return tokenizer, ctranslate2.Translator(str(folder), device="auto")


def towards(tokenizer: Any, source: Language, target: Language, model: str) -> _direction.Direction:
    """The direction in the terms of the family whose tokens the tokenizer knows.

    Raises DataError where it knows none.
    """
    if hasattr(tokenizer, "supported_language_codes"):
        return _direction.opus_mt(target, tokenizer.supported_language_codes)
    families = {
        "NLLB": _direction.nllb(source, target),
        "M2M-100": _direction.m2m100(source, target),
        "MADLAD": _direction.madlad(target),
    }
    for direction in families.values():
        if not _direction.lacking(tokenizer, direction):
            return direction
    wanted = "; ".join(
        f"{family}'s {' '.join(filter(None, direction.tokens))}" for family, direction in families.items()
    )
    raise DataError(
        f"{model} knows no tokens for {source.name} and {target.name}; looked for {wanted}. Give a model that has both languages."
    )


class Converted:
    """A converted model that translates in one direction; what it leaves out is counted in `refused`."""

    def __init__(self, name: str, translator: Any, reading: Reading, forced: str, options: Options) -> None:
        self.name, self.translator, self.reading, self.forced, self.options = name, translator, reading, forced, options
        self.refused: Counter[str] = Counter()

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Candidates of each text, the likeliest first."""
        found: list[list[str]] = [[] for _ in texts]
        for batch in self.reading.batches(texts, self.options.batch_size, self.refused):
            for place, rows in zip(batch.places, self.write(batch.rows), strict=True):
                found[place] = self.reading.translations(rows, self.refused)
        return found

    def write(self, rows: Sequence[Sequence[int]]) -> list[list[list[int]]]:
        """Ids of each candidate of each row, with the token that ends it if it came so far."""
        tokenizer, options = self.reading.tokenizer, self.options
        results = self.translator.translate_batch(
            [tokenizer.convert_ids_to_tokens(row) for row in rows],
            target_prefix=[[self.forced]] * len(rows) if self.forced else None,
            beam_size=options.beams,
            num_hypotheses=options.candidates,
            max_decoding_length=options.max_tokens,
            max_input_length=0,  # its own limit cuts in silence; `Reading` has refused what is too long
            return_end_token=True,
        )
        return [[tokenizer.convert_tokens_to_ids(tokens) for tokens in result.hypotheses] for result in results]
