"""Models converted for CTranslate2 (https://opennmt.net/CTranslate2), several times faster on a CPU.

`model` is a folder made once by `ct2-transformers-converter --model NAME --output_dir FOLDER --copy_files
tokenizer.json tokenizer_config.json` (for OPUS-MT: source.spm, target.spm, vocab.json and tokenizer_config.json; for
M2M-100: sentencepiece.bpe.model, vocab.json and tokenizer_config.json). Whether it is NLLB, M2M-100, MADLAD or OPUS-MT
is read from its tokenizer. Its licence is that of the converted model.
"""

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyclip.errors import DataError, WeightsError
from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator, require_languages
from polyclip.translation.engines import _direction
from polyclip.translation.engines._reading import DirectedTokenizer

CONSTANT = True
LICENCE = "NOASSERTION"
LIMIT = 1024  # tokens; no family above has more positions
CONVERT = (
    "Make one with 'ct2-transformers-converter --model NAME --output_dir FOLDER --copy_files tokenizer.json "
    "tokenizer_config.json' "
    "and give the folder as model."
)


def covers(language: Language) -> bool:
    """Whether the pack names a code of one of the families."""
    codes = language.codes
    return any((codes.nllb, codes.m2m100, codes.madlad, codes.opus_mt))


def build(source: Language, target: Language, options: TranslationOptions) -> Translator:
    """Build the engine of a converted model.

    Raises:
        DataError: ctranslate2 is not installed, or the model lacks a language or does not support an option.
        WeightsError: The folder is not a converted model.

    """
    require_languages("ctranslate2", source, target)
    if find_spec("ctranslate2") is None:
        raise DataError(
            "Engine ctranslate2 requires the package ctranslate2, which is not installed: pip install "
            "'polyclip[translation]'."
        )
    if options.sample:
        raise DataError(
            "Engine ctranslate2 cannot sample reproducible translations; use candidates of a beam search, or engine "
            "nllb or m2m100."
        )
    from polyclip.translation.engines._seq2seq import check_options, get_limit, get_provenance

    check_options(options)
    folder = Path(options.model)
    if not options.model or not (folder / "model.bin").is_file():
        raise WeightsError(
            f"Engine ctranslate2 requires a converted model; {options.model or 'no model'} was given and has no "
            f"model.bin. {CONVERT}"
        )
    tokenizer, translator = load(folder)
    direction = find_direction(tokenizer, source, target, options.model)
    _direction.set_languages(tokenizer, direction, options.model)
    limit = get_limit(tokenizer, LIMIT, options, options.model)
    return CTranslate2Translator(
        get_provenance(options.model, ""),
        translator,
        DirectedTokenizer(tokenizer, direction, limit),
        direction.forced,
        options,
    )


def load(folder: Path) -> tuple[Any, Any]:
    """Load tokenizer and translator of a converted model.

    Raises:
        WeightsError: They cannot be loaded.

    """
    import ctranslate2
    from transformers import AutoTokenizer

    from polyclip.core.device import current_device
    from polyclip.models.hf import explain_loading_errors

    with explain_loading_errors("converted model", str(folder), CONVERT):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return tokenizer, ctranslate2.Translator(
            str(folder), device="cpu" if current_device().type == "cpu" else "auto"
        )


def find_direction(tokenizer: Any, source: Language, target: Language, model: str) -> _direction.Direction:
    """Find the direction in the terms of the family whose tokens the tokenizer knows.

    Raises:
        DataError: It knows none.

    """
    if isinstance(tokenizer, _direction.TargetTokenizer):
        return _direction.direct_opus_mt(target, tokenizer.supported_language_codes)
    families = {
        "NLLB": _direction.direct_nllb(source, target),
        "M2M-100": _direction.direct_m2m100(source, target),
        "MADLAD": _direction.direct_madlad(target),
    }
    for direction in families.values():
        if not _direction.list_missing_tokens(tokenizer, direction):
            return direction
    wanted = "; ".join(
        f"{family}'s {' '.join(filter(None, direction.tokens))}" for family, direction in families.items()
    )
    raise DataError(
        f"{model} knows no tokens for {source.name} and {target.name}; looked for {wanted}. Give a model that has "
        "both languages."
    )


class CTranslate2Translator:
    """A converted model that translates in one direction; what it leaves out is counted in `refused`."""

    def __init__(
        self, name: str, translator: Any, reading: DirectedTokenizer, forced: str, options: TranslationOptions
    ) -> None:
        self.name, self.translator, self.reading, self.forced, self.options = name, translator, reading, forced, options
        self.refused: Counter[str] = Counter()

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Translate texts; the candidates of each are the most likely first."""
        found: list[list[str]] = [[] for _ in texts]
        for batch in self.reading.make_batches(texts, self.options.batch_size, self.refused):
            for place, rows in zip(batch.places, self.generate(batch.rows), strict=True):
                found[place] = self.reading.decode_candidates(rows, self.refused)
        return found

    def generate(self, rows: Sequence[Sequence[int]]) -> list[list[list[int]]]:
        """Generate the token ids of each candidate of each row, with the end token where one was reached."""
        tokenizer, options = self.reading.tokenizer, self.options
        results = self.translator.translate_batch(
            [tokenizer.convert_ids_to_tokens(row) for row in rows],
            target_prefix=[[self.forced]] * len(rows) if self.forced else None,
            beam_size=options.beams,
            num_hypotheses=options.candidates,
            max_decoding_length=options.max_tokens,
            max_input_length=0,  # its own limit truncates silently; `DirectedTokenizer` has refused longer texts
            return_end_token=True,
        )
        return [[tokenizer.convert_tokens_to_ids(tokens) for tokens in result.hypotheses] for result in results]
