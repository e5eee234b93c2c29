"""Word-by-word translation from dictionaries, and code-switching (https://arxiv.org/abs/2006.06402) as augmentation.

`model` is a comma-separated list of tables; the first that has a phrase is used:

- `names`: the starter corpus' names of its training concepts in both languages (Unicode-3.0); `names:my/corpus.toml`
  for another corpus,
- `freedict`: FreeDict's dictionary as a Debian package such as dict-freedict-eng-swh installs it (mostly
  GPL-2.0-or-later; its own page says),
- a file: `source<TAB>target` lines, FreeDict's TEI, or the .index of a dictd dictionary.

Empty, it is `names,freedict` where the packs have FreeDict's codes, else `names`. The longest phrase is preferred;
words are looked up as they are written, so an English plural is unknown unless a table has it, and the order of words
stays English. `share` below 1 replaces that share of all words.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from random import Random

from polyclip.core.storage import hash_parts
from polyclip.data.corpus import load_corpus
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator, deduplicate, require_languages
from polyclip.translation.engines._dictd import DictdTable
from polyclip.translation.engines._phrases import Piece, split_phrases
from polyclip.translation.engines._tables import PhraseTable, read_parallel_names, read_phrase_table

CONSTANT = True
LICENCE = "Unicode-3.0 AND GPL-2.0-or-later"
LICENCES = {"names": "Unicode-3.0", "freedict": "GPL-2.0-or-later"}
CORPUS = "emoji"
DICTD = Path("/usr/share/dictd")  # where dictd's packages put dictionaries, on every system that has them
UNKNOWN = "text with a word no table has"
NOTHING = "text with no word to replace"


def covers(language: Language) -> bool:
    """Whether the pack has FreeDict's code, or the starter corpus has captions in the language."""
    corpus = load_corpus(CORPUS)
    return bool(language.codes.freedict) or corpus.get_locale(language) in corpus.reader.languages(corpus.folder)


def build(source: Language, target: Language, options: TranslationOptions) -> Translator:
    """Build the engine of the tables that `model` names.

    Raises:
        DataError: No table has a language, or a table cannot be read; with file and line.

    """
    require_languages("lexicon", source, target)
    default = "names,freedict" if source.codes.freedict and target.codes.freedict else "names"
    kinds = [kind.strip() for kind in (options.model or default).split(",")]
    return LexiconTranslator(kinds, [load_table(kind, source, target) for kind in kinds], options)


def load_table(kind: str, source: Language, target: Language) -> PhraseTable:
    """Load one table of `model`.

    Raises:
        DataError: The table is missing or cannot be read.

    """
    if kind.partition(":")[0] == "names":
        return read_parallel_names(kind.partition(":")[2] or CORPUS, source, target)
    if kind != "freedict":
        path = Path(kind)
        return DictdTable(path) if path.suffix == ".index" and path.is_file() else read_phrase_table(path)
    pair = f"{source.codes.freedict}-{target.codes.freedict}"
    path = DICTD / f"freedict-{pair}.index"
    if not path.is_file():
        raise DataError(
            f"FreeDict's dictionary {pair} is not installed ({path} is missing): apt-get install dict-freedict-{pair}, "
            "or set model to names, or to a lexicon of your own."
        )
    return DictdTable(path)


class LexiconTranslator:
    """An engine that replaces the phrases which its tables have.

    Texts with unknown words are left out, unless `unknown` is "keep", and counted in `refused`.
    """

    def __init__(self, kinds: Sequence[str], tables: Sequence[PhraseTable], options: TranslationOptions) -> None:
        self.tables, self.options = tables, options
        self.longest = max(part.longest for part in tables)
        identity = hash_parts(*(part.identity for part in tables))
        self.name = f"lexicon-{'+'.join(Path(kind).stem for kind in kinds)}@{identity[:12]}"
        self.licence = " AND ".join(dict.fromkeys(LICENCES.get(kind, "NOASSERTION") for kind in kinds))
        self.refused: Counter[str] = Counter()

    def look_up(self, phrase: str) -> tuple[str, ...]:
        """Look up a phrase in the first table that has it."""
        return next((found for part in self.tables if (found := part.look_up(phrase))), ())

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Translate texts; each has up to `candidates` variants with other translations or other replaced words."""
        return [self.make_candidates(text) for text in texts]

    def make_candidates(self, text: str) -> list[str]:
        """Make the variants of one text."""
        cut = split_phrases(text, self.look_up, self.longest)
        known = [piece for piece in cut if piece.translations]
        switching = self.options.share < 1
        if any(piece.words and not piece.translations for piece in cut) and known and not switching:
            self.refused[UNKNOWN + (", kept" if self.options.unknown == "keep" else "")] += 1
            if self.options.unknown == "refuse":
                return []
        made = (
            list(
                islice(
                    self.replace_some(text, cut, known) if switching else self.replace_all(text, cut, known),
                    self.options.candidates,
                )
            )
            if known
            else []
        )
        found = [candidate for candidate in deduplicate(made) if candidate != " ".join(text.split())]
        self.refused[NOTHING] += not found
        return found

    def seed_random(self, text: str, number: int) -> Random:
        """Seed the random numbers of one candidate, which do not depend on the other texts."""
        return Random(hash_parts(str(self.options.seed), text, str(number)))  # noqa: S311 - no secret

    def replace_all(self, text: str, cut: Sequence[Piece], known: Sequence[Piece]) -> Iterator[str]:
        """Replace every known piece, by its first translation before its others, or by sampled ones."""
        if self.options.sample:
            for number in range(self.options.candidates):
                chance = self.seed_random(text, number)
                yield join_pieces(cut, {piece: chance.choice(piece.translations) for piece in known})
            return
        for chosen in product(*(piece.translations for piece in known)):
            yield join_pieces(cut, dict(zip(known, chosen, strict=True)))

    def replace_some(self, text: str, cut: Sequence[Piece], known: Sequence[Piece]) -> Iterator[str]:
        """Replace sampled pieces until their words are `share` of all; a fractional quota is rounded at random."""
        total = sum(piece.words for piece in cut)
        for number in range(self.options.candidates):
            chance = self.seed_random(text, number)
            left = int(self.options.share * total + chance.random())
            chosen: dict[Piece, str] = {}
            for piece in chance.sample(known, len(known)):
                if piece.words <= left:
                    left -= piece.words
                    chosen[piece] = chance.choice(piece.translations) if self.options.sample else piece.translations[0]
            yield join_pieces(cut, chosen)


def join_pieces(cut: Sequence[Piece], chosen: dict[Piece, str]) -> str:
    """Join pieces to a text, with replacements, keeping the punctuation."""
    return " ".join(piece.before + chosen.get(piece, piece.text) + piece.after for piece in cut)
