"""The corpora of a continued run: the new one, and those of the earlier run for languages that the new one lacks."""

from polyclip.core.run_folder import read_settings
from polyclip.data.corpus import load_corpus
from polyclip.data.corpus_names import Part, join_names, split_name
from polyclip.errors import PolyclipError, RunError
from polyclip.training.finetune import Continuation


def choose_finetune_corpus(chosen: str, continued: Continuation) -> str:
    """Choose the corpora to go on with.

    Where the new corpus has captions in every language trained before, it is used alone. Else the run's own corpora
    come first, for those languages: they are rehearsed there, and what is forgotten is measured there.

    Args:
        chosen: The corpus of the new languages.
        continued: The plan of the continuation.

    Returns:
        Name of the corpus, or of several together.

    Raises:
        RunError: The earlier run's corpus is needed and not at hand.

    """
    own = str(read_settings(continued.start, "corpus")["corpus"])
    if chosen == own:
        return own
    corpus = load_corpus(chosen)
    lacking = [language.code for language in continued.old if corpus.get_locale(language) not in corpus.languages]
    if not lacking:
        return chosen
    named = {part.name for part in split_name(chosen)}
    codes = tuple(language.code for language in continued.old)
    earlier = [Part(part.name, part.weight, part.languages or codes) for part in split_name(own)]
    together = join_names([*(str(part) for part in earlier if part.name not in named), chosen])
    try:
        load_corpus(together)
    except PolyclipError as error:
        raise RunError(
            f"{chosen} has no captions in {', '.join(lacking)}, which {continued.start} was trained on with corpus "
            f"{own!r}; that corpus is needed again and cannot be opened: {error}"
        ) from error
    return together
