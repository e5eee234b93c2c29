"""The translation pipeline: captions -> engine -> filters -> a corpus pack."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from polyclip.core import distributed
from polyclip.core.registry import find
from polyclip.core.run_folder import lock_folder
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.models.backbone import describe
from polyclip.translation.cache import TranslationCache, translate_cached
from polyclip.translation.config import TARGET, Job, Outcome, check_job, format_reasons
from polyclip.translation.engine import DefaultModel, Licensed, TranslationOptions, Translator, count_refused
from polyclip.translation.filters import (
    Filter,
    FilterResult,
    FilterVerdict,
    TranslationCandidate,
    apply_filters,
    make_text_filters,
)
from polyclip.translation.model_filters import make_similarity_filter, score_back_translations
from polyclip.translation.pack import CAPTIONS, PACK, check_out, write_pack
from polyclip.translation.sources import Sentence, collect_sentences, measure_copying

MISSING, NAMELESS, BACK = "no translation", "its name was dropped", "back-translation"
UNKNOWN = "NOASSERTION"


def translate(job: Job) -> tuple[list[Outcome], Path]:
    """Translate the captions of a corpus, filter the translations, and write them as a corpus pack.

    Sentences in the cache are not translated again. Writes only below `job.out` and the cache folder.

    Args:
        job: What is translated and how.

    Returns:
        The result for each target language, and the path of the written pack.

    Raises:
        UnknownName: There is no such engine, text encoder or corpus.
        DataError: The engine lacks a language, the corpus has nothing to translate, or nothing is left.
        RunError: The output folder holds something else, or another process is writing it.

    """
    check_job(job)
    corpus = load_corpus(job.corpus)
    with lock_folder(job.out):
        check_out(job)
        distributed.wait()  # all processes have checked before process 0 writes
        wanted = collect_sentences(corpus, job.source, job.splits, keywords=job.keywords)
        outcomes = [translate_into(job, corpus, wanted, target) for target in job.targets]
        if distributed.is_first_process():
            write_pack(job, outcomes)
        distributed.wait_for(job.out / CAPTIONS)
    return outcomes, job.out / PACK


def translate_into(job: Job, corpus: Corpus, wanted: Sequence[Sentence], target: Language) -> Outcome:
    """Translate into one language and filter the translations."""
    module = find("translators", job.engine)
    options = replace(job.options, model=job.options.model.replace(TARGET, target.code))
    engine: Translator = module.build(job.source, target, options)
    memory = TranslationCache(engine.name, job.source, target, options)
    label = f"translating into {target.name} with {engine.name}"
    answers, remembered = translate_cached(
        engine, memory, [each.text for each in wanted], label, job.options.batch_size
    )
    missing = [each for each in wanted if not answers[each.text]]
    if missing and job.engine == "file" and not job.partial:
        raise make_incomplete_error(engine, target, missing, len(wanted))
    found = [
        TranslationCandidate(concept=each.concept, place=each.place, source=each.text, text=text)
        for each in wanted
        for text in answers[each.text]
    ]
    sifted, notes = filter_candidates(job, corpus, target, module, found)
    if corpus.get_locale(target) not in corpus.reader.languages(corpus.folder) and "validation" not in job.splits:
        notes.append("no human captions to validate 'polyclip align' with: add --split train --split validation")
    dropped = [
        (MISSING, TranslationCandidate(concept=each.concept, place=each.place, source=each.text, text=""))
        for each in missing
    ] + sifted.dropped
    if not sifted.kept:
        raise DataError(
            f"No {target.name} translation by {engine.name} is left of {len(wanted)} captions: "
            f"{format_reasons(dropped)}."
        )
    return Outcome(
        language=target,
        engine=engine.name,
        licence=find_licence(module, engine, options),
        sentences=len(answers),
        remembered=remembered,
        kept=sifted.kept,
        dropped=dropped,
        notes=notes,
        refused=dict(sum((Counter(said) for said in distributed.gather_objects(count_refused(engine))), Counter())),
    )


def make_incomplete_error(engine: Translator, target: Language, missing: Sequence[Sentence], wanted: int) -> DataError:
    """Make the error for a file of translations that lacks some."""
    return DataError(
        f"{engine.name} has no {target.name} translation of {len(missing)} of {wanted} captions, the first is "
        f"{missing[0].text!r}. Add them, or accept an incomplete file with --partial."
    )


def find_licence(module: ModuleType, engine: Translator, options: TranslationOptions) -> str:
    """The licence that the engine states, else that of its default model; NOASSERTION for a model given by name."""
    if isinstance(engine, Licensed):
        return engine.licence
    usual = module.MODEL if isinstance(module, DefaultModel) else ""
    return module.LICENCE if options.model in ("", usual) else UNKNOWN


def filter_candidates(
    job: Job, corpus: Corpus, target: Language, module: ModuleType, found: list[TranslationCandidate]
) -> tuple[FilterResult, list[str]]:
    """Apply every filter that is switched on; returns the result and sentences on what was not fully judged."""
    copied = measure_copying(corpus, job.source, target, job.splits)
    filters, notes = make_text_filters(job.limits, job.source, target, copied)
    if job.uses_text_encoder:
        tower = describe("encoders", job.text_encoder)
        more, told = make_similarity_filter(
            found, tower, corpus, (job.source, target), job.splits, job.limits, job.without_human
        )
        filters, notes = filters + more, notes + told
    if job.limits.chrf is not None:
        filters.append(make_back_translation_filter(job, target, module, job.limits.chrf))
    return apply_filters(found, [*filters, Filter(NAMELESS, _named)]), notes


def make_back_translation_filter(job: Job, target: Language, module: ModuleType, least: float) -> Filter:
    """Make a filter that builds the engine of the other direction on use, and caches its translations."""

    def judge(candidates: Sequence[TranslationCandidate]) -> list[FilterVerdict]:
        model = (job.back_model or job.options.model).replace(TARGET, target.code)
        options = replace(job.options, model=model, candidates=1, sample=False)
        engine: Translator = module.build(target, job.source, options)
        memory = TranslationCache(engine.name, target, job.source, options)
        label = f"translating back into {job.source.name}"
        answers, _ = translate_cached(engine, memory, [c.text for c in candidates], label, options.batch_size)
        verdicts = score_back_translations(candidates, answers, least)
        return [verdicts[c.source, c.text] for c in candidates]

    return Filter(BACK, judge)


def _named(candidates: Sequence[TranslationCandidate]) -> list[FilterVerdict]:
    """Keep a further caption only where a name of its concept is left: a row's first caption is its name."""
    named = {c.concept for c in candidates if c.place == 0}
    return [FilterVerdict(c.concept in named) for c in candidates]
