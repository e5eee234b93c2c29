"""Options of `polyclip align`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from polyclip.core.fields import read_fields
from polyclip.data.corpus_names import join_names
from polyclip.training.options import TEXT_ENCODER, AlignOptions


@dataclass(frozen=True, kw_only=True)
class AlignCommand:
    """Options of `polyclip align`."""

    lang: Annotated[
        list[str] | None,
        typer.Option("--lang", help="Language to train, by any of its codes or its name; repeat for several."),
    ] = None
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", help="Every language of a group, such as a family, that the corpus has captions in; repeatable."
        ),
    ] = None
    method: Annotated[
        str,
        typer.Option(
            help=(
                "Alignment method; 'polyclip methods' lists them. auto: the best on validation within --budget. "
                "Default: the language pack's."
            )
        ),
    ] = ""
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help=(
                "Export target: choose a method and a vision encoder that can go there; repeatable. 'polyclip methods' "
                "lists the targets."
            ),
        ),
    ] = None
    budget: Annotated[
        str,
        typer.Option(help="Time for --method auto, encoding and scoring included: 90s, 5m, 1h. Default: the pack's."),
    ] = ""
    related_languages: Annotated[
        bool | None,
        typer.Option(
            "--related-languages/--no-related-languages",
            help="Also train the related languages that the packs name. Default: only with --recipe.",
        ),
    ] = None
    recipe: Annotated[
        bool,
        typer.Option(
            "--recipe", help="Use everything the language packs advise: method, budget and related languages."
        ),
    ] = False
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help=(
                "Continue from this run folder (weights, encoders, languages), or use both encoders of "
                "open_clip:MODEL or clip:MODEL."
            ),
        ),
    ] = None
    shots: Annotated[
        int | None,
        typer.Option(
            min=0, help="With --from: number of captioned images of each new language; 0 is zero-shot. Default: all."
        ),
    ] = None
    shots_by: Annotated[
        str,
        typer.Option(
            help="How --shots are chosen: random by --seed, or coverage, each image farthest from those before."
        ),
    ] = "random"
    rehearse: Annotated[bool, typer.Option(help="With --from: replay the run's own languages during training.")] = True
    caption_weights: Annotated[
        list[str] | None,
        typer.Option(
            "--caption-weights",
            help="PROVENANCE=WEIGHT: sampling weight of such captions, relative to human ones: nllb=0.5. Repeatable.",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(
            help=(
                "Sample a language with n captioned images in proportion to n**(1/T); XLM-R uses T = 3.33. Default: "
                "uniformly."
            )
        ),
    ] = None
    train_towers: Annotated[str, typer.Option(help="Towers that the method trains: both, text or vision.")] = "both"
    text_encoder: Annotated[
        str,
        typer.Option(
            help=(
                "e5-small (with ,adapter=NAME its text adapter), or a transformers encoder: hub name, folder, "
                "huggingface:NAME,pooling=cls."
            )
        ),
    ] = TEXT_ENCODER
    text_adapter: Annotated[
        str,
        typer.Option(
            help=(
                "Norms and biases that bring the languages of e5-small together: names, the default, which comes with "
                "polyclip; a .safetensors file; or none."
            )
        ),
    ] = ""
    vision_tower: Annotated[
        str,
        typer.Option(
            help=(
                "efficientnet-lite0|1|2, several joined by +, timm:NAME,weights=FILE, or a transformers model. "
                "Default: the method's own."
            )
        ),
    ] = ""
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus",
            help=(
                "Corpus to train on: a name, a table, a folder or a pack; repeat for several. NAME=3 draws each of its "
                "captions three times as often: the weight stands with its corpus, so that neither can be given "
                "without the other. Default: emoji; with --from: the run's."
            ),
        ),
    ] = None
    english: Annotated[bool, typer.Option(help="Also train English.")] = True
    class_names: Annotated[
        bool,
        typer.Option(
            help="Use the class names of the vision encoder's classifier, where it has one: helps with photographs."
        ),
    ] = True
    class_names_from: Annotated[
        list[str] | None,
        typer.Option(
            "--class-names-from",
            metavar="FILE",
            help=(
                "Names of these classes in a further language: a wordnet of the Open Multilingual Wordnet, or a "
                "table of WordNet ids and words; repeat for several languages."
            ),
        ),
    ] = None
    loss: Annotated[
        str, typer.Option(help="info-nce, sigmoid, mse or contrastive-distillation. Default: the method's own.")
    ] = ""
    text_layers: Annotated[
        str,
        typer.Option(
            help="Layers of the text encoder that the method may change: :4 the first four, -4: the last four."
        ),
    ] = ""
    vision_layers: Annotated[str, typer.Option(help="Layers of the vision encoder that the method may change.")] = ""
    rank: Annotated[
        str, typer.Option(help="LoRA rank: a number, or rules TOWER[.KIND][.LAYER]=RANK joined by commas.")
    ] = "8"
    teacher: Annotated[
        str,
        typer.Option(
            help="Teacher of m2m and distill: a run folder, clip:NAME of a transformers CLIP, or open_clip:MODEL."
        ),
    ] = ""
    num_augmentations: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Versions of each training image, all but one augmented; each is encoded once."
        ),
    ] = 1
    head_dim: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=65_536,
            help=(
                "Length of one projection head's embedding; a method of several heads joins them. Default: the "
                "method's own."
            ),
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0)] = 0
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs over the captioned images in the method's own phase.")
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(min=2, help="Pairs per step in the method's own phase; at most the number of captions."),
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Highest learning rate, in the method's own phase. Default: the method's own."),
    ] = None
    weight_decay: Annotated[float | None, typer.Option(min=0, help="In the method's own phase. Default: 0.1.")] = None
    warmup: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the steps used for warm-up. Default: 0.1."),
    ] = None
    micro_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pairs held in memory at once, in the method's own phase; the gradient is that of the whole batch.",
        ),
    ] = None
    precision: Annotated[
        str,
        typer.Option(
            help="Precision of encoders and heads in training: auto, fp32, bf16 or fp16; weights and losses stay fp32. "
            "auto: heads on cached features in bf16 where the CPU multiplies it in hardware, all else in fp32."
        ),
    ] = "auto"
    shard: Annotated[
        bool,
        typer.Option(
            "--shard", help="With several processes: shard the encoders (FSDP); else each process holds all of them."
        ),
    ] = False
    max_drop: Annotated[
        float | None,
        typer.Option(min=0, help="Fail (exit code 1) if retention drops by more than this many percentage points."),
    ] = None
    track: Annotated[
        list[str] | None,
        typer.Option(
            "--track",
            help=(
                "Also log to tensorboard (RUN/tensorboard), wandb or trackio; repeatable. log.jsonl is always written."
            ),
        ),
    ] = None
    allow_leakage: Annotated[
        str, typer.Option(help="Reason to allow train/test overlap of images; recorded in the result.")
    ] = ""
    folds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=(
                "Test each image once, by one of so many models trained without it; 1: one split. Default: 5 below "
                "300 captioned images without a test split of their own."
            ),
        ),
    ] = None
    final: Annotated[
        bool,
        typer.Option(
            "--final", help="After the folds, train the model that is kept on every image, for the epochs they chose."
        ),
    ] = False
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder; default runs/<languages>-<method>, and -seed-N for another seed than 0."),
    ] = None
    max_bad: Annotated[
        str,
        typer.Option(
            help="Share of a sharded corpus' samples that may be unreadable, such as 0.1%. Default: the pack's."
        ),
    ] = ""
    settings: Annotated[
        Path | None,
        typer.Option(
            help="Train again with the settings of a run: its folder, or its run.toml; they decide everything else."
        ),
    ] = None
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help=(
                "With --settings: KEY=VALUE changes one of them, such as heads.epochs=5; optimizer. is the section of "
                "the method's own phase. Repeatable."
            ),
        ),
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in the same folder.")] = False
    typed: frozenset[str] = frozenset()  # names of the options given on the command line

    def plain(self) -> AlignOptions:
        """Return the options without the fields that only the command line needs."""
        given = read_fields(self, AlignOptions)
        return AlignOptions(**given | {"corpus": join_names(self.corpus or ["emoji"])})
