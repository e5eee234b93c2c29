"""The language of a query, and a warning where the model was not trained on it; without torch."""

from collections.abc import Sequence
from pathlib import Path

import regex

from polyclip.core.run_folder import read_settings
from polyclip.languages.identify import guess_language
from polyclip.languages.normalize import check_captions, find_pack, match_script
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import get_lang_option


def read_trained_languages(model: Path) -> list[str]:
    """Return the language codes of a run; empty where its folder does not say."""
    return list(read_settings(model)["languages"]) if (model / "run.toml").is_file() else []


def detect_query_language(text: str, trained: Sequence[str]) -> str:
    """Return the first trained language in the query's script; "" where there is none.

    Raises:
        DataError: The query contains only invisible characters.

    """
    check_captions([text])
    return match_script(text, trained)


def build_hint(text: str, language: str, trained: Sequence[str]) -> str:
    """Return a warning where the query is in an unseen language, else "": by the given language, by script, or by
    identification.

    Only queries of four words or more are identified, and only where the identifier knows all trained languages.
    """
    packs = [pack for pack in map(find_pack, trained) if pack is not None]
    if not packs or not regex.search(r"\p{L}", text):
        return ""
    names = ", ".join(f"{pack.name} ({pack.code})" for pack in packs)
    tail = f"the model was trained on {names}. Results are zero-shot and depend on its text encoder"
    if language:
        pack = resolve_language(language)
        known = pack.code in [other.code for other in packs]
        return (
            ""
            if known
            else (
                f"{pack.name} ({pack.code}) is an unseen language: {tail}; train it with 'polyclip align --lang "
                f"{get_lang_option(pack.code)}'."
            )
        )
    if not match_script(text, trained):
        return f"No trained language uses the query's script: {tail}."
    other = guess_language(text, packs)
    return (
        f"The query looks like {other.name} ({other.code}), an unseen language: {tail}. If that is wrong, give its "
        "language with --lang."
        if other
        else ""
    )
