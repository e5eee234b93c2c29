"""What a person looks for, as one unit vector, and a hint where the model was not trained on the language it is written in."""

from collections.abc import Sequence
from pathlib import Path

import regex
from jaxtyping import Float
from torch import Tensor

from polyclip.core.run_folder import read_run
from polyclip.data.images import open_picture
from polyclip.errors import DataError
from polyclip.languages.identify import guessed
from polyclip.languages.normalize import check_captions, pack_of, written_in
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import written
from polyclip.models.aligner import PolyCLIP


def vector_of(aligner: PolyCLIP, text: str, picture: Path | None, language: str) -> Float[Tensor, "1 dim"]:
    """The unit vector of a text, normalised as its language's pack says, or of a picture file.

    Raises DataError for an empty text, both or neither, and a picture that cannot be read; UnknownName for a language without a pack.
    """
    if (picture is None) == (not text):
        raise DataError("Expected a query in words or a picture with --picture FILE, and not both.")
    if picture is not None:
        return aligner.encode_image([open_picture(picture)])
    return aligner.encode_text([text], language)


def trained_on(model: Path) -> list[str]:
    """Codes of the languages of a run; empty where its folder does not say."""
    return list(read_run(model)["languages"]) if (model / "run.toml").is_file() else []


def language_of(text: str, trained: Sequence[str]) -> str:
    """The first trained language in whose script a query is written; empty where there is none.

    Raises DataError for a query with nothing to see in it.
    """
    check_captions([text])
    return written_in(text, trained)


def hint(text: str, language: str, trained: Sequence[str]) -> str:
    """A sentence for a query in a language never trained, empty for any other: by the language named, else by script, else by a guess.

    Only queries of four words or more are guessed, and only where all trained languages are known to the library that guesses.
    """
    packs = [pack for pack in map(pack_of, trained) if pack is not None]
    if not packs or not regex.search(r"\p{L}", text):
        return ""
    names = ", ".join(f"{pack.name} ({pack.code})" for pack in packs)
    tail = f"the model was trained on {names}. What it finds rests on what its text encoder knows"
    if language:
        pack = resolve_language(language)
        known = pack.code in [other.code for other in packs]
        return (
            ""
            if known
            else f"{pack.name} ({pack.code}) was never trained: {tail}; teach it with 'polyclip align --lang {written(pack.code)}'."
        )
    if not written_in(text, trained):
        return f"The query's script is that of no trained language: {tail}."
    other = guessed(text, packs)
    return (
        f"The query looks like {other.name} ({other.code}), which was never trained: {tail}. If that is wrong, name its language with --lang."
        if other
        else ""
    )
