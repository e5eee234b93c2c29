"""Command `polyclip methods`."""

import json as json_text
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.core.registry import find, list_names
from polyclip.core.terminal import PlainConsole
from polyclip.training.options import TEXT_ENCODER

if TYPE_CHECKING:
    from polyclip.exporters.limits import Plan

TextEncoder = Annotated[str, typer.Option("--text-encoder", help="As in 'polyclip align'.")]
VisionTower = Annotated[str, typer.Option("--vision-tower", help="As in 'polyclip align'. Default: each method's own.")]

app = typer.Typer(
    add_completion=False,
    invoke_without_command=True,
    help="List the alignment methods and what each exports to, show one, or count its trainable parameters.",
)


@app.callback()
def print_methods(
    context: typer.Context,
    text_encoder: TextEncoder = TEXT_ENCODER,
    vision_tower: VisionTower = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the alignment methods, one line each, and where runs on these encoders can be exported to."""
    if context.invoked_subcommand is not None:
        return
    from polyclip.exporters.support import format_targets, list_targets

    methods = {name: find("methods", name).METHOD for name in list_names("methods")}
    if json:
        rows = [
            {
                "method": name,
                "about": method.about,
                "source": method.source,
                "tower": method.tower,
                "exports": list_targets(make_plan(name, text_encoder, vision_tower)),
            }
            for name, method in methods.items()
        ]
        typer.echo(json_text.dumps(rows, ensure_ascii=False, indent=1))
        return
    table = Table("method", "what is trained", "exports to", header_style="bold", box=SIMPLE_HEAD)
    for name, method in methods.items():
        table.add_row(name, method.about, format_targets(make_plan(name, text_encoder, vision_tower)))
    PlainConsole().print(table)


def make_plan(method: str, text_encoder: str, vision_tower: str) -> "Plan":
    """Make the plan of a run; without a vision encoder it is on the method's own."""
    from polyclip.exporters.limits import Plan

    return Plan(method, text_encoder, vision_tower or find("methods", method).METHOD.tower)


def show(
    method: Annotated[str, typer.Argument(help="One of 'polyclip methods'.")],
    text_encoder: TextEncoder = TEXT_ENCODER,
    vision_tower: VisionTower = "",
) -> None:
    """Show a method, and for each export target whether a run could go there, with every reason against it."""
    from polyclip.cli.export import build_targets_table

    found, plan = find("methods", method).METHOD, make_plan(method, text_encoder, vision_tower)
    console = PlainConsole()
    for line in (f"{method}: {found.about}", found.source, f"text encoder {text_encoder}, {plan.vision_tower}"):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(build_targets_table(plan))


def count(
    method: Annotated[str, typer.Argument(help="One of 'polyclip methods'.")],
    text_config: Annotated[str, typer.Option(help="config.json of a transformers text encoder.")],
    vision: Annotated[str, typer.Option(help="timm model, such as vit_base_patch16_224.")],
    image_size: Annotated[
        int | None, typer.Option(min=16, help="Edge of an image in pixels. Default: the model's own.")
    ] = None,
    dim: Annotated[int, typer.Option("--head-dim", min=2, help="Length of one projection head's embedding.")] = 256,
    tune: Annotated[str, typer.Option("--train-towers", help="both, text or vision.")] = "both",
    text_layers: Annotated[str, typer.Option(help="As in 'polyclip align'.")] = "",
    vision_layers: Annotated[str, typer.Option(help="As in 'polyclip align'.")] = "",
    rank: Annotated[str, typer.Option(help="As in 'polyclip align'.")] = "8",
    json: Annotated[bool, typer.Option("--json", help='{"trained", "total", "share"}.')] = False,
) -> None:
    """Count what a method trains on two towers, from their configurations alone."""
    from polyclip.models.config import ModelConfig
    from polyclip.models.parameter_count import count_parameters

    recipe = ModelConfig(
        method=method, dim=dim, tune=tune, text_layers=text_layers, vision_layers=vision_layers, rank=rank, anchors=0
    )
    found = count_parameters(recipe, text_config, vision, image_size)
    if json:
        typer.echo(
            json_text.dumps(
                {
                    "trained": found["trained_parameters"],
                    "total": found["total_parameters"],
                    "share": found["trained_share"],
                }
            )
        )
        return
    table = Table("method", "trained", "total", "share", "without embeddings", header_style="bold", box=SIMPLE_HEAD)
    shares = (f"{100 * found[key]:.2f} %" for key in ("trained_share", "trained_share_without_embeddings"))
    table.add_row(method, f"{found['trained_parameters']:,}", f"{found['total_parameters']:,}", *shares)
    PlainConsole().print(table)
