"""What the scores at the end of a run will read, known without reading the test split."""

from pathlib import Path

from polyclip.core.storage import cache_folder, digest
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.languages.schema import Language, known_languages, load_language
from polyclip.models.aligner import PolyCLIP
from polyclip.training.config import AlignConfig


def scored_marks(run: AlignConfig, aligner: PolyCLIP) -> dict[str, Path]:
    """Files of the cache, one for the pictures and one a language, that say what `scored` has encoded before: without a look at the test split."""
    corpus = load_corpus(run.corpus)
    files = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sorted(corpus.folder.iterdir())]
    wanted = {"pictures": aligner.vision} | {language.code: aligner.text for language in reported(run, corpus)}
    keys = {name: digest(run.corpus, *files, side.tower.identity, str(side.cut), name) for name, side in wanted.items()}
    return {name: cache_folder() / "features" / "scored" / key[:32] for name, key in keys.items()}


def reported(run: AlignConfig, corpus: Corpus) -> list[Language]:
    """Languages in a run's own result: the trained ones and those of XM3600; `polyclip eval emoji` scores every other."""
    packs = [load_language(code) for code in known_languages()]
    asked = run.languages + (
        [] if run.continued is None else [new for new in run.continued.new if new not in run.languages]
    )
    others = [pack for pack in packs if pack.xm3600 and pack.code not in codes(asked)]
    return asked + [pack for pack in others if corpus.locale(pack) in corpus.reader.languages(corpus.folder)]


def codes(languages: list[Language]) -> frozenset[str]:
    """Their codes."""
    return frozenset(language.code for language in languages)
