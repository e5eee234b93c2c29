"""What may be written after `polyclip align`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from polyclip.training.request import AlignOptions


@dataclass(frozen=True, kw_only=True)
class AlignCommand:
    """What may be written after `polyclip align`."""

    lang: Annotated[
        list[str] | None,
        typer.Option("--lang", help="Language to train, by any of its codes or its name; repeat for several."),
    ] = None
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Every language of a group that the corpus names, such as a family; repeatable."),
    ] = None
    method: Annotated[
        str,
        typer.Option(
            help="What is trained; 'polyclip methods' lists them. auto: what validates best within --budget. Default: the language pack's."
        ),
    ] = ""
    budget: Annotated[
        str,
        typer.Option(help="Time for --method auto, encoding and scoring included: 90s, 5m, 1h. Default: the pack's."),
    ] = ""
    related_languages: Annotated[
        bool | None,
        typer.Option(
            "--related-languages/--no-related-languages",
            help="Train the related languages that the packs name beside it. Default: only with --recipe.",
        ),
    ] = None
    recipe: Annotated[
        bool,
        typer.Option(
            "--recipe", help="All that the language packs advise: method, budget, and related languages to borrow."
        ),
    ] = False
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Go on from this run folder: its weights, towers and languages; or open_clip:MODEL, clip:MODEL: both towers.",
        ),
    ] = None
    shots: Annotated[
        int | None,
        typer.Option(
            min=0, help="With --from: named pictures of each new language; 0 leaves the run as it is. Default: all."
        ),
    ] = None
    shots_by: Annotated[
        str, typer.Option(help="Which: random by --seed, or coverage, each farthest in looks from those before.")
    ] = "random"
    rehearse: Annotated[bool, typer.Option(help="With --from: train the run's own languages beside the new ones.")] = (
        True
    )
    caption_weights: Annotated[
        list[str] | None,
        typer.Option(
            "--caption-weights",
            help="PROVENANCE=WEIGHT: how often such captions are drawn, people's being 1: nllb=0.5. Repeatable.",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Draw a language with n named pictures as n**(1/T): 1 in proportion, 3.33 as XLM-R. Default: all as often."
        ),
    ] = None
    train_towers: Annotated[
        str, typer.Option(help="Towers in which the method trains something: both, text or vision.")
    ] = "both"
    text_encoder: Annotated[
        str, typer.Option(help="e5-small, or a transformers encoder: hub name, folder, huggingface:NAME,pooling=cls.")
    ] = "e5-small"
    vision_tower: Annotated[
        str,
        typer.Option(
            help="efficientnet-lite0|1|2, several joined by +, timm:NAME,weights=FILE, or a transformers model. Default: the method's own."
        ),
    ] = ""
    corpus: Annotated[
        str, typer.Option(help="Corpus to train on: a name, or the path of a pack of your own. With --from: the run's.")
    ] = "emoji"
    english: Annotated[bool, typer.Option(help="Train English beside the languages given.")] = True
    class_names: Annotated[
        bool,
        typer.Option(
            help="Use the names of the classes that the vision tower was trained on, where it has a classifier: finds photographs."
        ),
    ] = True
    loss: Annotated[
        str, typer.Option(help="info-nce, sigmoid, mse or contrastive-distillation. Default: the method's own.")
    ] = ""
    text_layers: Annotated[
        str,
        typer.Option(
            help="Layers of the text encoder that the method may touch: :4 the first four, -4: the last four."
        ),
    ] = ""
    vision_layers: Annotated[str, typer.Option(help="The same of the vision tower.")] = ""
    rank: Annotated[
        str, typer.Option(help="Of low-rank updates: a number, or rules TOWER[.KIND][.LAYER]=RANK joined by commas.")
    ] = "8"
    teacher: Annotated[
        str,
        typer.Option(help="For m2m and distill: a run folder, clip:NAME of a transformers CLIP, or open_clip:MODEL."),
    ] = ""
    num_augmentations: Annotated[
        int,
        typer.Option(min=1, max=64, help="Views of each training picture, the others augmented; each is encoded once."),
    ] = 1
    head_dim: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Length of one projection head's embedding; a method of several heads joins them. Default: the method's own.",
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0)] = 0
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the named pictures in the method's own phase.")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="Pairs a step in the method's own phase; at most the captions there are.")
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Highest learning rate, in the method's own phase. Default: the method's own."),
    ] = None
    weight_decay: Annotated[float | None, typer.Option(min=0, help="In the method's own phase. Default: 0.1.")] = None
    warmup: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the steps in which the learning rate rises. Default: 0.1."),
    ] = None
    micro_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pairs held in memory at once, in the method's own phase; the gradient is that of the whole batch.",
        ),
    ] = None
    precision: Annotated[
        str, typer.Option(help="Of the towers and heads in training: fp32, bf16 or fp16; weights and losses stay fp32.")
    ] = "fp32"
    shard: Annotated[
        bool,
        typer.Option(
            "--shard", help="Of several processes: divide the towers among them (FSDP); else each holds all of them."
        ),
    ] = False
    max_drop: Annotated[
        float | None,
        typer.Option(min=0, help="Percent points that knowledge may fall; if it falls further, exit code 1."),
    ] = None
    track: Annotated[
        list[str] | None,
        typer.Option(
            "--track",
            help="Also log to tensorboard (RUN/tensorboard), wandb or trackio; repeatable. log.jsonl is always written.",
        ),
    ] = None
    allow_leakage: Annotated[
        str, typer.Option(help="Why the test split may share pictures with the training split; recorded in the result.")
    ] = ""
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<languages>-<method>.")] = None
    max_bad: Annotated[
        str,
        typer.Option(
            help="Samples of a corpus in shards that may be unreadable, from now on: 0.1%. Default: the pack's."
        ),
    ] = ""
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in the same folder.")] = False
    typed: frozenset[str] = frozenset()  # names of the options that were written

    def plain(self) -> AlignOptions:
        """The same options without what only a command line needs."""
        return AlignOptions(**{field.name: getattr(self, field.name) for field in fields(AlignOptions)})
