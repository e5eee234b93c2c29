"""From a user's options to languages, method and folder."""

from pathlib import Path
from typing import Any

from polyclip.core.fields import read_fields
from polyclip.core.progress import console
from polyclip.data.corpus import load_corpus
from polyclip.errors import PolyclipError
from polyclip.languages import schema
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language
from polyclip.training.options import AUTO, AlignOptions, AlignRequest

DECIDED: tuple[str, ...] = (
    "method",
    "budget",
    "related_languages",
    "recipe",
    "train_towers",
    "text_encoder",
    "vision_tower",
    "english",
    "loss",
    "text_layers",
    "vision_layers",
    "rank",
)
DECIDED += ("teacher", "head_dim", "class_names", "class_names_from")  # by the run that training continues from
BOUNDS = {  # of what training can work with: beyond them it overflows or stands still
    "learning_rate": (1e-9, 100.0),
    "weight_decay": (0.0, 100.0),
    "warmup": (0.0, 1.0),
    "max_drop": (0.0, 100.0),
}
NEEDING = ("shots", "shots_by", "rehearse")  # a run to continue from


def resolve_request(options: AlignOptions) -> AlignRequest:
    """Resolve languages, method and folder; options have priority over the advice of the first language's pack.

    Args:
        options: Of the alignment.

    Returns:
        What is to be trained.

    Raises:
        PolyclipError: No language was named, or options exclude each other.

    """
    if options.settings or options.changes:
        from polyclip.training.settings import request_from_settings

        return request_from_settings(options)
    check_exclusive(options)
    check_numbers(options)
    languages = resolve_languages(options)
    own = languages[0].recipe
    borrowed = find_related_languages(languages, options)
    method = options.method or ("" if options.start else own.method)
    budget = options.budget or (own.budget if method == AUTO else "")
    advice: dict[str, Any] = {} if options.method or options.start else {"method": method}
    advice |= {"budget": budget} if method == AUTO and not options.budget else {}
    advice |= {"borrow": [language.code for language in borrowed]} if borrowed else {}
    labels = [resolve_language(text).code for text in options.lang or []] + (options.group or [])
    last = (
        method
        if options.start is None
        else f"{'all' if options.shots is None else options.shots}-shots-on-{options.start.resolve().name}"
    )
    seed = [f"seed-{options.seed}"] if options.seed else []
    folder = options.out or Path("runs") / "-".join([*dict.fromkeys(labels), last, *seed])
    packs_asked = [language.code for language in (languages if borrowed else languages[:1])]
    return AlignRequest(
        languages + borrowed, method, budget, folder, {"packs": packs_asked, **advice} if advice else {}
    )


def check_numbers(options: AlignOptions) -> None:
    """Check that numbers are in the range with which training can work.

    Raises:
        PolyclipError: One is not a number, infinite, or far too small or large.

    """
    for name, value in read_fields(options, BOUNDS).items():
        least, most = BOUNDS[name]
        if value is not None and not least <= value <= most:  # NaN compares false
            raise PolyclipError(f"--{name.replace('_', '-')} {value:g}: expected a number from {least:g} to {most:g}.")


def check_exclusive(options: AlignOptions) -> None:
    """Check that no option contradicts the run that training continues from, and that none lacks one.

    Raises:
        PolyclipError: One does.

    """
    names = {name: f"--{name.replace('_', '-')}" for name in (*DECIDED, *NEEDING)}
    wrong = [names[name] for name in (DECIDED if options.start else NEEDING) if name in options.typed]
    if wrong and options.start:
        raise PolyclipError(
            f"--from {options.start} cannot be combined with {', '.join(wrong)}: that run decides "
            f"{'it' if len(wrong) == 1 else 'them'}."
        )
    if wrong:
        raise PolyclipError(
            f"{', '.join(wrong)} requires an aligned run: add --from with its folder, such as runs/en-head-mlp."
        )


def resolve_languages(options: AlignOptions) -> list[Language]:
    """Resolve the languages named, then those of the groups that the corpus has captions of.

    Prints which languages of a group have captions, and which have not.

    Raises:
        PolyclipError: There are none.

    """
    found = [resolve_language(text) for text in options.lang or []]
    for name in options.group or []:
        corpus = load_corpus(choose_corpus(options))
        having = set(corpus.reader.languages(corpus.folder))
        members = schema.select_group(name)
        with_captions = [language for language in members if corpus.get_locale(language) in having]
        without = [language.code for language in members if language not in with_captions]
        said = f"group {name}: {', '.join(language.code for language in with_captions) or 'none'}"
        console.print(
            f"{said}{f'; without captions in corpus {corpus.name!r}: ' + ', '.join(without) if without else ''}",
            highlight=False,
            soft_wrap=True,
        )
        found += with_captions
    if not found:
        raise PolyclipError(
            "No language to train: add --lang with a code or name, such as --lang sw, or --group with a group the "
            "corpus has captions of."
        )
    return list({language.code: language for language in found}.values())


def choose_corpus(options: AlignOptions) -> str:
    """The corpus named by the options, else that of the run that training continues from.

    Raises:
        RunError: The folder is not a run folder.

    """
    if options.start is None or "corpus" in options.typed:
        return options.corpus
    from polyclip.core.run_folder import read_settings

    found: str = read_settings(options.start, "corpus")["corpus"]
    return found


def find_related_languages(languages: list[Language], options: AlignOptions) -> list[Language]:
    """Find the related languages that the packs name; none without --related-languages or --recipe.

    Raises:
        PolyclipError: --related-languages was given and no pack names one.

    """
    if not (options.recipe if options.related_languages is None else options.related_languages):
        return []
    related = {code: resolve_language(code) for language in languages for code in language.recipe.borrow}
    if options.related_languages and not related:
        files = ", ".join(f"languages/{language.code}.toml" for language in languages)
        raise PolyclipError(
            f"--related-languages: {files} names no related language under recipe.borrow; name some there, or with "
            "--lang."
        )
    return [language for language in related.values() if language not in languages]
