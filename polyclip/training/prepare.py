"""From a request to trained weights: check, encode once, train on cached features, then through live towers."""

import json
import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from polyclip.core import distributed
from polyclip.core.registry import find
from polyclip.core.run_folder import check_folder, write_settings
from polyclip.core.storage import write_text
from polyclip.data.captions import normalised
from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import NAMES, Chosen, Pairs, training_pairs
from polyclip.errors import DataError
from polyclip.evaluation.leakage.compare import unseen
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP, load_model, read_aligner
from polyclip.models.backbone import describe
from polyclip.models.branch import ModelConfig
from polyclip.models.components.closed_form import anchor_rows
from polyclip.models.losses import LOSSES
from polyclip.models.method import Method
from polyclip.training.branch_data import BranchData, validation
from polyclip.training.class_names import fold_heads, install_names, with_names
from polyclip.training.compute import check
from polyclip.training.config import AlignConfig, OptimizerConfig, method_of, settings_of
from polyclip.training.distillation import Taught, Teacher, teacher_of
from polyclip.training.loop import Phase, fit
from polyclip.training.shots import chosen, listed
from polyclip.training.trackers import Observer, silent


@dataclass(frozen=True)
class Work:
    """A run that is ready to be trained."""

    run: AlignConfig
    aligner: PolyCLIP
    sides: list[BranchData]  # text, vision
    teacher: Teacher | None
    leaked: dict[str, Any] | None  # see polyclip/evaluation/leakage/compare.py; None where nobody looked
    observe: Observer = silent  # of the log's lines


def prepared(run: AlignConfig) -> Work:
    """Check the request and its folder, build the aligner, encode training and validation items. The test split is read by the leakage lint alone."""
    check(run.compute)
    settings = settings_of(run)
    check_folder(run.out, settings, resume=run.resume)
    distributed.wait()  # all have looked before the first one writes
    train, held_out, picked = pairs_of(run)
    teacher = teacher_of(method_of(run), run.recipe.teacher)
    torch.manual_seed(run.heads.seed)
    begun = None if run.continued is None else load_model(run.continued.start)
    aligner = begun or PolyCLIP(with_names(settled(run.recipe, train, teacher), method_of(run), wanted=run.class_names))
    state = {name: tensor.clone() for name, tensor in aligner.state().items()}
    leaked = unseen(load_corpus(run.corpus), run.languages, run.allow_leakage) if run.lint else None
    if distributed.first():
        write_settings(
            run.out, settings | run.advice
        )  # everything that can be wrong in the request has been found by now
    if distributed.first() and picked is not None:
        write_text(run.out / "shots.jsonl", listed(picked), what="the captions that were chosen")
    sides = [BranchData(side, train, held_out, run.compute.shard) for side in (aligner.text, aligner.vision)]
    if begun is not None:
        aligner.set_state(state, "the run that goes on")  # with its own means and deviations
    elif teacher is not None:
        teacher.hand_over(aligner.vision.head)
    else:
        install_names(*sides)
    return Work(run, aligner, sides, teacher, leaked)


def pairs_of(run: AlignConfig) -> tuple[Pairs, Pairs, Chosen | None]:
    """Training and validation pairs; of a run that goes on, the shots of new languages beside all of the others, and which they are."""
    corpus, continued = load_corpus(run.corpus), run.continued
    picked = None
    if continued is not None and continued.shots.count != 0:
        picked = chosen(corpus, continued.new, continued.shots, run.sample, describe("towers", run.recipe.vision_tower))
    return (
        training_pairs(corpus, run.drawn, "train", run.sample, picked),
        training_pairs(corpus, run.drawn, "validation", NAMES),
        picked,
    )


def settled(recipe: ModelConfig, train: Pairs, teacher: Teacher | None) -> ModelConfig:
    """The recipe with what the method finds out by itself: layers, anchors, or what its teacher is made of."""
    method: Method = find("methods", recipe.method).METHOD
    if teacher is not None:
        recipe = teacher.recipe(recipe)
    if method.relative:
        recipe = replace(recipe, anchors=len(anchor_rows(train)[0]))
    return method.choose(recipe, train) if method.choose is not None else recipe


def keep(work: Work, log: list[dict[str, Any]]) -> None:
    """Write weights and log into the run folder; what is scored afterwards is what was saved."""
    path = work.run.out / "aligner.safetensors"
    if distributed.first():
        work.aligner.save(path)
        write_text(
            work.run.out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log), what="the training log"
        )
    distributed.wait_for(path)
    work.aligner.set_state(read_aligner(path)[1], "the saved aligner")


def trained(work: Work) -> list[dict[str, Any]]:
    """Train or solve the heads on cached features, then, where the method puts something into a tower, both together; returns the log."""
    run, aligner, sides = work.run, work.aligner, work.sides
    value = validation(aligner, sides[0].held_out_pairs, sides)
    if aligner.method.solve is not None:
        started = time.monotonic()
        with torch.no_grad():
            chosen = aligner.method.solve(sides[0], sides[1], value)
        line = {
            "phase": "solve",
            "epoch": 0,
            "validation": value(),
            "chosen": chosen,
            "seconds": time.monotonic() - started,
        }
        work.observe(line)
        return [line]
    live = any(data.side.encoder is not None for data in sides)
    if run.continued is not None and run.continued.shots.count == 0:
        return [{"phase": "heads", "epoch": 0, "validation": value()}]  # the run that it goes on from, as it is
    log = [] if live and run.continued is not None else fit(aligner, phase("heads", run.heads, work))
    if live and time.monotonic() < run.until:
        for data in sides:
            data.go_live()
        log += fit(aligner, phase(run.recipe.method, run.towers, work))
        for data in sides:
            data.rest()
    fold_heads(*sides)
    return log


def phase(name: str, settings: OptimizerConfig, work: Work) -> Phase:
    """One pass of the training loop. Heads and logit scale are trained in every phase, what a method put into a live tower in the second."""
    run, aligner, teacher = work.run, work.aligner, work.teacher
    text, vision = work.sides
    train = text.train_pairs
    live = text.live or vision.live
    image: Any = (
        vision
        if teacher is None
        else Taught(teacher, train, [language.code for language in run.drawn], english_names(run, train))
    )
    if teacher is not None:
        settings = replace(settings, caption_loss=0.0)  # the teacher's vectors are the only target
    return Phase(
        name=name,
        pairs=train,
        text=text.inputs,
        image=image.inputs,
        validate=validation(aligner, text.held_out_pairs, work.sides),
        settings=settings,
        folder=run.out,
        trained=[n for n, p in aligner.named_parameters() if p.requires_grad and (live or ".encoder." not in n)],
        loss=LOSSES[aligner.loss],
        members=aligner.method.members,
        taught=teacher is not None,
        penalty=None if live else aligner.method.penalty,
        count_flops=run.count_flops,
        last=run.continued is not None,
        until=run.until,
        compute=run.compute if live or not aligner.method.inside else replace(run.compute, micro_batch=None),
        observe=work.observe,
    )


def english_names(run: AlignConfig, train: Pairs) -> list[str]:
    """The English name of every training concept, in their order.

    Raises DataError where the corpus has none.
    """
    corpus, en = load_corpus(run.corpus), load_language("en")
    named = {
        row.concept: row.captions[0]
        for row in normalised(corpus.reader.read(corpus.folder, corpus.locale(en), "train"), en)
    }
    missing = [concept for concept in train.concepts if concept not in named]
    if missing:
        raise DataError(
            f"Corpus {run.corpus!r} has no English name of {len(missing)} concepts, the first is {missing[0]!r}; a taught method needs them all."
        )
    return [named[concept] for concept in train.concepts]
