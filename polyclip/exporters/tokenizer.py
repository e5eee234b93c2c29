"""Write a text encoder's tokenizer in files that other libraries read, with the encoder's prefix built in."""

from pathlib import Path
from typing import Any

from polyclip.errors import RunError

FILES = ("tokenizer.json", "tokenizer_config.json")


def write_tokenizer(encoder: Any, folder: Path, name: str, limit: int | None = None) -> Any:
    """Write the tokenizer's FILES and return transformers' tokenizer.

    A prefix such as "query: " becomes the first step of the tokenizer's normalizer, so that users cannot forget it.

    Args:
        encoder: A built text encoder.
        folder: Folder to write to.
        name: The encoder's name, for messages.
        limit: Maximum number of tokens; None for the encoder's own.

    Returns:
        A PreTrainedTokenizerFast.

    Raises:
        RunError: The tokenizer is not of the `tokenizers` library.

    """
    from tokenizers import Tokenizer, normalizers
    from transformers import PreTrainedTokenizerFast

    words = encoder.tokenizer_spec
    if words is None:
        raise RunError(
            f"The tokenizer of text encoder {name} cannot be exported: expected e5-small or a transformers encoder "
            "with a fast tokenizer."
        )
    own = Tokenizer.from_str(words.tokenizer.to_str())
    own.no_padding()
    own.no_truncation()
    if words.prefix:
        steps = [normalizers.Prepend(words.prefix), *([own.normalizer] if own.normalizer is not None else [])]
        own.normalizer = normalizers.Sequence(steps)
    longest = words.limit if limit is None else min(limit, words.limit)
    written = PreTrainedTokenizerFast(
        tokenizer_object=own, model_max_length=longest, padding_side="right", **words.special
    )
    folder.mkdir(parents=True, exist_ok=True)
    written.save_pretrained(folder)
    return written
