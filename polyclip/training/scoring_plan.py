"""What the final scoring of a run will read, known without reading the test split."""

from pathlib import Path

from polyclip.core.storage import get_cache_folder, hash_parts
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.joined import list_parts
from polyclip.languages.schema import Language, list_languages, load_language
from polyclip.models.aligner import PolyCLIP
from polyclip.training.config import AlignConfig


def list_score_markers(run: AlignConfig, aligner: PolyCLIP) -> dict[str, Path]:
    """Marker files that record which test features are cached.

    With them `--method auto` can estimate scoring time without reading the test split.

    Args:
        run: The alignment's configuration.
        aligner: Its model.

    Returns:
        Paths, one for the images (named "pictures") and one for each language.

    """
    corpus = load_corpus(run.corpus)
    # the files themselves: a link may lead nowhere, as the one that an editor leaves while a file is open
    facts = [(path, path.lstat()) for part in list_parts(corpus) for path in sorted(part.folder.iterdir())]
    files = [f"{path} {fact.st_size} {fact.st_mtime_ns}" for path, fact in facts]
    wanted = {"pictures": aligner.vision} | {
        language.code: aligner.text for language in list_reported_languages(run, corpus)
    }
    keys = {
        name: hash_parts(run.corpus, *files, side.tower.identity, str(side.cut), name) for name, side in wanted.items()
    }
    folder = get_cache_folder() / "features" / "scored"
    return {name: folder / key[:32] for name, key in keys.items()}


def list_reported_languages(run: AlignConfig, corpus: Corpus) -> list[Language]:
    """Languages in a run's own result: the trained ones and those of XM3600.

    `polyclip eval emoji` scores every other language too.
    """
    packs = [load_language(code) for code in list_languages()]
    asked = run.languages + (
        [] if run.continued is None else [new for new in run.continued.new if new not in run.languages]
    )
    others = [pack for pack in packs if pack.xm3600 and pack.code not in list_codes(asked)]
    return asked + [pack for pack in others if corpus.get_locale(pack) in corpus.reader.languages(corpus.folder)]


def list_codes(languages: list[Language]) -> frozenset[str]:
    """The codes of these languages."""
    return frozenset(language.code for language in languages)
