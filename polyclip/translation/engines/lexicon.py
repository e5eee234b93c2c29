"""Words and phrases from dictionaries: translation word by word, and code-switching (https://arxiv.org/abs/2006.06402) as augmentation.

`model` is a comma-separated list of tables, the first that has a phrase wins:

- `names`: what the starter corpus calls its training concepts in both languages (Unicode-3.0); `names:my/corpus.toml` for another corpus,
- `freedict`: FreeDict's dictionary as a Debian package such as dict-freedict-eng-swh installs it (mostly GPL-2.0-or-later; its own page says),
- a file: `source<TAB>target` lines, FreeDict's TEI, or the .index of a dictd dictionary.

Empty, it is `names,freedict` where the packs have FreeDict's codes, else `names`. The longest phrase wins; words are taken as they are written,
so an English plural is unknown unless a table has it, and the order of words stays English. `share` below 1 replaces that share of all words.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from random import Random

from polyclip.core.storage import digest
from polyclip.data.corpus import load_corpus
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.translation.engine import Options, Translator, distinct, require
from polyclip.translation.engines._dictd import Dictd
from polyclip.translation.engines._phrases import Piece, pieces
from polyclip.translation.engines._tables import Table, listed, parallel_names

CONSTANT = True
LICENCE = "Unicode-3.0 AND GPL-2.0-or-later"
LICENCES = {"names": "Unicode-3.0", "freedict": "GPL-2.0-or-later"}
CORPUS = "emoji"
DICTD = Path("/usr/share/dictd")  # where dictd's packages put dictionaries, on every system that has them
UNKNOWN = "text with a word no table has"
NOTHING = "text with no word to replace"


def covers(language: Language) -> bool:
    """Whether the pack has FreeDict's code, or the starter corpus names for it."""
    corpus = load_corpus(CORPUS)
    return bool(language.codes.freedict) or corpus.locale(language) in corpus.reader.languages(corpus.folder)


def build(source: Language, target: Language, options: Options) -> Translator:
    """Raises DataError for a language no table has and, with file and line, for a table that cannot be read."""
    require("lexicon", source, target)
    default = "names,freedict" if source.codes.freedict and target.codes.freedict else "names"
    kinds = [kind.strip() for kind in (options.model or default).split(",")]
    return Lexicon(kinds, [table(kind, source, target) for kind in kinds], options)


def table(kind: str, source: Language, target: Language) -> Table:
    """One part of `model`."""
    if kind.partition(":")[0] == "names":
        return parallel_names(kind.partition(":")[2] or CORPUS, source, target)
    if kind != "freedict":
        path = Path(kind)
        return Dictd(path) if path.suffix == ".index" and path.is_file() else listed(path)
    pair = f"{source.codes.freedict}-{target.codes.freedict}"
    path = DICTD / f"freedict-{pair}.index"
    if not path.is_file():
        raise DataError(
            f"FreeDict's dictionary {pair} is not installed ({path} is missing): apt-get install dict-freedict-{pair}, "
            "or set model to names, or to a lexicon of your own."
        )
    return Dictd(path)


class Lexicon:
    """Replaces what its tables have. Texts with unknown words are left out unless told otherwise, and counted in `refused`."""

    def __init__(self, kinds: Sequence[str], tables: Sequence[Table], options: Options) -> None:
        self.tables, self.options = tables, options
        self.longest = max(part.longest for part in tables)
        self.name = (
            f"lexicon-{'+'.join(Path(kind).stem for kind in kinds)}@{digest(*(part.identity for part in tables))[:12]}"
        )
        self.licence = " AND ".join(dict.fromkeys(LICENCES.get(kind, "NOASSERTION") for kind in kinds))
        self.refused: Counter[str] = Counter()

    def look(self, phrase: str) -> tuple[str, ...]:
        """Translations from the first table that has the phrase."""
        return next((found for part in self.tables if (found := part.look(phrase))), ())

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Up to `candidates` texts with other translations, or with other words replaced."""
        return [self.candidates(text) for text in texts]

    def candidates(self, text: str) -> list[str]:
        """What can be made of one text."""
        cut = pieces(text, self.look, self.longest)
        known = [piece for piece in cut if piece.translations]
        switching = self.options.share < 1
        if any(piece.words and not piece.translations for piece in cut) and known and not switching:
            self.refused[UNKNOWN + (", kept" if self.options.unknown == "keep" else "")] += 1
            if self.options.unknown == "refuse":
                return []
        made = (
            list(
                islice(
                    self.switched(text, cut, known) if switching else self.whole(text, cut, known),
                    self.options.candidates,
                )
            )
            if known
            else []
        )
        found = [candidate for candidate in distinct(made) if candidate != " ".join(text.split())]
        self.refused[NOTHING] += not found
        return found

    def chance(self, text: str, number: int) -> Random:
        """Random numbers of one candidate, the same whatever other texts are translated."""
        return Random(digest(str(self.options.seed), text, str(number)))  # noqa: S311 - no secret

    def whole(self, text: str, cut: Sequence[Piece], known: Sequence[Piece]) -> Iterator[str]:
        """Every known piece replaced, by its first translation before its others, or by drawn ones."""
        if self.options.sample:
            for number in range(self.options.candidates):
                chance = self.chance(text, number)
                yield joined(cut, {piece: chance.choice(piece.translations) for piece in known})
            return
        for chosen in product(*(piece.translations for piece in known)):
            yield joined(cut, dict(zip(known, chosen, strict=True)))

    def switched(self, text: str, cut: Sequence[Piece], known: Sequence[Piece]) -> Iterator[str]:
        """Drawn pieces replaced, until their words are the share of all; a broken quota is rounded by chance."""
        total = sum(piece.words for piece in cut)
        for number in range(self.options.candidates):
            chance = self.chance(text, number)
            left = int(self.options.share * total + chance.random())
            chosen: dict[Piece, str] = {}
            for piece in chance.sample(known, len(known)):
                if piece.words <= left:
                    left -= piece.words
                    chosen[piece] = chance.choice(piece.translations) if self.options.sample else piece.translations[0]
            yield joined(cut, chosen)


def joined(cut: Sequence[Piece], chosen: dict[Piece, str]) -> str:
    """The text with pieces replaced, its punctuation kept."""
    return " ".join(piece.before + chosen.get(piece, piece.text) + piece.after for piece in cut)
