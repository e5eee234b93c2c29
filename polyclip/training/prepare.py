"""From a request to trained weights: check it, encode once, train heads on cached features, then components in
encoders.
"""

import json
import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from polyclip.core import distributed
from polyclip.core.randomness import fold_seed
from polyclip.core.registry import find
from polyclip.core.run_folder import check_folder, write_settings
from polyclip.core.storage import write_text
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import NAMES, AddedLanguages, Pairs
from polyclip.data.training_pairs import make_training_pairs
from polyclip.errors import DataError
from polyclip.evaluation.leakage.compare import check_leakage
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.backbone import describe
from polyclip.models.components.closed_form import find_anchor_rows
from polyclip.models.config import ModelConfig
from polyclip.models.feature_cache import keep_encoders
from polyclip.models.losses import LOSSES
from polyclip.models.method import Method
from polyclip.models.model_file import read_aligner
from polyclip.training.branch_data import BranchData, Validation, encode_branch
from polyclip.training.class_names import add_class_names, fold_heads, install_names
from polyclip.training.compute import check_compute, pick_precision
from polyclip.training.config import AlignConfig, OptimizerConfig, collect_settings, get_method
from polyclip.training.distillation import Teacher, TeacherEmbeddings, load_teacher
from polyclip.training.loop import Phase, fit
from polyclip.training.shots import choose_shots, format_shots
from polyclip.training.trackers import Observer, ignore_line


@dataclass(frozen=True)
class Work:
    """A run that is ready to be trained."""

    run: AlignConfig
    aligner: PolyCLIP
    sides: list[BranchData]  # text, vision
    teacher: Teacher | None
    leaked: dict[str, Any] | None  # see polyclip/evaluation/leakage/compare.py; None where nobody looked
    observe: Observer = ignore_line  # of the log's lines


@keep_encoders()
def prepare_run(run: AlignConfig) -> Work:
    """Check the request and its folder, build the model, encode training and validation items.

    The test split is read by the leakage check alone.

    Args:
        run: The alignment's configuration.

    Returns:
        The run, ready to be trained.

    Raises:
        RunError: The folder holds another run, or an unfinished one without --resume.
        DataError: The corpus cannot be read, or training data overlap with the test split.
        PolyclipError: Whatever else is wrong with the request, the encoders or the disk.

    """
    check_compute(run.compute)
    settings = collect_settings(run)
    check_folder(run.out, settings, resume=run.resume)
    distributed.wait()  # all have looked before the first one writes
    train, held_out, picked = load_pairs(run)
    teacher = load_teacher(get_method(run), run.recipe.teacher)
    torch.manual_seed(fold_seed(run.heads.seed))
    begun = None if run.continued is None else load_model(run.continued.start)
    aligner = (
        begun.cpu()
        if begun is not None
        else PolyCLIP(
            add_class_names(
                complete_recipe(run.recipe, train, teacher),
                get_method(run),
                wanted=run.class_names,
                files=run.class_names_from,
            )
        )
    )
    leaked = check_leakage(load_corpus(run.corpus), run.languages, run.allow_leakage) if run.lint else None
    if distributed.is_first_process():
        write_settings(
            run.out, settings | run.advice
        )  # everything that can be wrong in the request has been found by now
    if distributed.is_first_process() and picked is not None:
        write_text(run.out / "shots.jsonl", format_shots(picked), what="the captions that were chosen")
    branches = (aligner.text, aligner.vision)
    sides = [encode_branch(branch, train, held_out, even=run.compute.shard) for branch in branches]
    if begun is None:  # a run that goes on keeps its own means and deviations
        start_heads(aligner, sides, teacher, run.class_names_from)
    return Work(run, aligner, sides, teacher, leaked)


def start_heads(
    aligner: PolyCLIP, sides: list[BranchData], teacher: Teacher | None, class_names: tuple[str, ...] = ()
) -> None:
    """Measure the heads' means and deviations; take over the teacher's vision head, or solve the class names' part.

    Args:
        aligner: The model.
        sides: Its text and its vision side.
        teacher: Whose vision head is taken over; None for none.
        class_names: Files with class names in further languages.

    """
    for data in sides:
        data.measure_head()
    if teacher is not None:
        teacher.copy_head(aligner.vision.head)
    else:
        install_names(sides[0], sides[1], class_names)


def load_pairs(run: AlignConfig) -> tuple[Pairs, Pairs, AddedLanguages | None]:
    """Training and validation pairs, and the shots of a continued run with new languages."""
    corpus, continued = load_corpus(run.corpus), run.continued
    picked = None
    if continued is not None and not continued.shots.is_empty:
        picked = choose_shots(
            corpus, continued.new, continued.shots, run.sample, describe("towers", run.recipe.vision_tower)
        )
    return (
        make_training_pairs(corpus, run.sampled_languages, "train", run.sample, picked),
        make_training_pairs(corpus, run.sampled_languages, "validation", NAMES),
        picked,
    )


def complete_recipe(recipe: ModelConfig, train: Pairs, teacher: Teacher | None) -> ModelConfig:
    """Complete the recipe with what the method chooses itself: layers, anchors, or the teacher's shape."""
    method: Method = find("methods", recipe.method).METHOD
    if teacher is not None:
        recipe = teacher.adapt_recipe(recipe)
    if method.relative:
        recipe = replace(recipe, anchors=len(find_anchor_rows(train)[0]))
    return method.choose(recipe, train) if method.choose is not None else recipe


def save_work(work: Work, log: list[dict[str, Any]]) -> None:
    """Write weights and log into the run folder, and reload the weights, so that the saved model is scored."""
    path = work.run.out / "aligner.safetensors"
    if distributed.is_first_process():
        work.aligner.save(path)
        write_text(
            work.run.out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log), what="the training log"
        )
    distributed.wait_for(path)
    work.aligner.set_state(read_aligner(path)[1], "the saved aligner")


def train_run(work: Work) -> list[dict[str, Any]]:
    """Train or solve the heads on cached features, then train components inside encoders together with the heads.

    Args:
        work: The prepared run.

    Returns:
        The log, one line for each epoch.

    Raises:
        RunError: The loss is not finite.

    """
    run, aligner, sides = work.run, work.aligner, work.sides
    value = Validation(aligner, sides[0].held_out_pairs, sides)
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
    if run.continued is not None and run.continued.shots.is_empty:
        return [{"phase": "heads", "epoch": 0, "validation": value()}]  # the run that it goes on from, as it is
    log = [] if live and run.continued is not None else fit(aligner, make_phase("heads", run.heads, work))
    if live and time.monotonic() < run.until:
        for data in sides:
            data.attach_backbone()
        log += fit(aligner, make_phase(run.recipe.method, run.towers, work))
        for data in sides:
            data.detach_backbone()
    aligner.cpu()  # closed forms are solved there, in float64
    fold_heads(*sides)
    return log


def make_phase(name: str, settings: OptimizerConfig, work: Work) -> Phase:
    """Set up a training phase: heads and logit scale always, encoder components if their encoder is attached."""
    run, aligner, teacher = work.run, work.aligner, work.teacher
    text, vision = work.sides
    train = text.train_pairs
    live = text.live or vision.live
    image: Any = (
        vision
        if teacher is None
        else TeacherEmbeddings(
            teacher, train, [language.code for language in run.sampled_languages], read_english_names(run, train)
        )
    )
    if teacher is not None:
        settings = replace(settings, caption_loss=0.0)  # the teacher's embeddings are the only target
    return Phase(
        name=name,
        pairs=train,
        text=text.make_inputs,
        image=image.make_inputs,
        validate=Validation(aligner, text.held_out_pairs, work.sides),
        settings=settings,
        folder=run.out,
        trained=[n for n, p in aligner.named_parameters() if p.requires_grad and (live or ".encoder." not in n)],
        loss=LOSSES[aligner.loss],
        members=aligner.method.members,
        taught=teacher is not None,
        heads_only=not live and teacher is None,
        penalty=None if live else aligner.method.penalty,
        count_flops=run.count_flops,
        last=run.continued is not None,
        until=run.until,
        compute=replace(
            run.compute,
            precision=pick_precision(run.compute.precision, live),
            micro_batch=run.compute.micro_batch if live or not aligner.method.trains_towers else None,
        ),
        stopping=run.stopping if live or not aligner.method.trains_towers else None,
        observe=work.observe,
    )


def read_english_names(run: AlignConfig, train: Pairs) -> list[str]:
    """The English name of every training concept, in their order.

    Raises:
        DataError: The corpus lacks one.

    """
    corpus, en = load_corpus(run.corpus), load_language("en")
    named = {
        row.concept: row.captions[0]
        for row in normalize_captions(corpus.reader.read(corpus.folder, corpus.get_locale(en), "train"), en)
    }
    missing = [concept for concept in train.concepts if concept not in named]
    if missing:
        raise DataError(
            f"Corpus {run.corpus!r} has no English name of {len(missing)} concepts, the first is {missing[0]!r}; a "
            "distillation method requires all of them."
        )
    return [named[concept] for concept in train.concepts]
