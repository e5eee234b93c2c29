"""The pipeline: captions -> engine -> filters -> a corpus pack."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from polyclip.core import distributed
from polyclip.core.registry import find
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.models.backbone import describe
from polyclip.translation.cache import Memory, translated
from polyclip.translation.config import TARGET, Job, Outcome, check, reasons
from polyclip.translation.engine import Options, Translator, refused
from polyclip.translation.filters import Candidate, Filter, Sifted, Verdict, sift, text_filters
from polyclip.translation.model_filters import back, likeness
from polyclip.translation.pack import PACK, check_out, write_pack
from polyclip.translation.sources import Sentence, copied_elsewhere, sentences

MISSING, NAMELESS, BACK = "no translation", "its name was dropped", "back-translation"
UNKNOWN = "NOASSERTION"


def translate(job: Job) -> tuple[list[Outcome], Path]:
    """Translate the captions of a corpus that are not translated yet, filter all of them, and write the corpus; returns its pack's path.

    Writes only below `job.out` and the cache folder. Raises UnknownName for an engine, encoder or corpus that does not exist, DataError where
    the engine lacks a language, the corpus has nothing to translate or nothing is left, RunError for a folder that holds something else, and
    what the engine raises.
    """
    check(job)
    corpus = load_corpus(job.corpus)
    check_out(job)
    distributed.wait()  # all have looked before the first one writes
    wanted = sentences(corpus, job.source, job.splits, keywords=job.keywords)
    outcomes = [into(job, corpus, wanted, target) for target in job.targets]
    if distributed.first():
        write_pack(job, outcomes)
    distributed.wait_for(job.out / PACK)
    return outcomes, job.out / PACK


def into(job: Job, corpus: Corpus, wanted: Sequence[Sentence], target: Language) -> Outcome:
    """Translate into one language and filter what comes back."""
    module = find("translators", job.engine)
    options = replace(job.options, model=job.options.model.replace(TARGET, target.code))
    engine: Translator = module.build(job.source, target, options)
    memory = Memory(engine.name, job.source, target, options)
    label = f"translating into {target.name} with {engine.name}"
    answers, remembered = translated(engine, memory, [each.text for each in wanted], label, job.options.batch_size)
    missing = [each for each in wanted if not answers[each.text]]
    if missing and job.engine == "file" and not job.partial:
        raise DataError(
            f"{engine.name} has no {target.name} translation of {len(missing)} of {len(wanted)} captions, the first is {missing[0].text!r}. "
            "Add them, or accept a part of them with --partial."
        )
    found = [
        Candidate(concept=each.concept, place=each.place, source=each.text, text=text)
        for each in wanted
        for text in answers[each.text]
    ]
    sifted, notes = filtered(job, corpus, target, module, found)
    if corpus.locale(target) not in corpus.reader.languages(corpus.folder) and "validation" not in job.splits:
        notes.append(
            "people wrote no caption in it, so that 'polyclip align' has none to validate with: add --split train --split validation"
        )
    dropped = [
        (MISSING, Candidate(concept=each.concept, place=each.place, source=each.text, text="")) for each in missing
    ] + sifted.dropped
    if not sifted.kept:
        raise DataError(
            f"No {target.name} translation by {engine.name} is left of {len(wanted)} captions: {reasons(dropped)}."
        )
    return Outcome(
        language=target,
        engine=engine.name,
        licence=licence(module, engine, options),
        sentences=len(answers),
        remembered=remembered,
        kept=sifted.kept,
        dropped=dropped,
        notes=notes,
        refused=dict(sum((Counter(said) for said in distributed.everyones(refused(engine))), Counter())),
    )


def licence(module: ModuleType, engine: Translator, options: Options) -> str:
    """What the engine says of itself, else its module of its own model; that of a model given by name is not known."""
    own: str = module.LICENCE if options.model in ("", getattr(module, "MODEL", "")) else UNKNOWN
    return getattr(engine, "licence", own)


def filtered(
    job: Job, corpus: Corpus, target: Language, module: ModuleType, found: list[Candidate]
) -> tuple[Sifted, list[str]]:
    """What passes every filter that is switched on, and sentences on what was not or not fully judged."""
    copied = copied_elsewhere(corpus, job.source, target, job.splits)
    filters, notes = text_filters(job.limits, job.source, target, copied)
    if job.compares:
        tower = describe("encoders", job.text_encoder)
        more, told = likeness(found, tower, corpus, (job.source, target), job.splits, job.limits, job.without_human)
        filters, notes = filters + more, notes + told
    if job.limits.chrf is not None:
        filters.append(back_translation(job, target, module, job.limits.chrf))
    return sift(found, [*filters, Filter(NAMELESS, _named)]), notes


def back_translation(job: Job, target: Language, module: ModuleType, least: float) -> Filter:
    """A filter that builds the engine of the other direction when it is asked, and keeps what it translates as any other."""

    def judge(candidates: Sequence[Candidate]) -> list[Verdict]:
        model = (job.back_model or job.options.model).replace(TARGET, target.code)
        options = replace(job.options, model=model, candidates=1, sample=False)
        engine: Translator = module.build(target, job.source, options)
        memory = Memory(engine.name, target, job.source, options)
        label = f"translating back into {job.source.name}"
        answers, _ = translated(engine, memory, [c.text for c in candidates], label, options.batch_size)
        verdicts = back(candidates, answers, least)
        return [verdicts[c.source, c.text] for c in candidates]

    return Filter(BACK, judge)


def _named(candidates: Sequence[Candidate]) -> list[Verdict]:
    """A further caption stays where a name of its concept is left: a row's first caption is its name."""
    named = {c.concept for c in candidates if c.place == 0}
    return [Verdict(c.concept in named) for c in candidates]
