"""Profile of four workloads by kind of operation, with torch's profiler; draws the plot of docs/performance.md.

pip install '.[starter,study]' && python -m speed.hotspots [--captions 200] [--pictures 16] [--out docs/performance.png]
"""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from torch.profiler import ProfilerActivity, profile

from polyclip.data.pairs import SamplingConfig
from polyclip.languages.resolve import resolve_language
from polyclip.models.backbone import describe
from polyclip.models.batches import plan_batches
from polyclip.models.config import ModelConfig
from polyclip.models.encoding import get_inference_form
from polyclip.report.plot import HATCHES, add_legend, open_plot
from polyclip.training import compute
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.loop import prepare_training, run_step
from polyclip.training.prepare import make_phase, prepare_run
from speed._machine import collect_facts
from speed._material import TOWER, load_captions, load_images

KINDS = {  # how operations begin, in this order; the first that fits counts
    "matrix products": ("aten::addmm", "aten::mm", "aten::bmm", "aten::matmul", "aten::linear"),
    "convolutions": (
        "aten::mkldnn_convolution",
        "aten::convolution",
        "aten::_convolution",
        "aten::thnn_conv",
        "aten::_slow_conv",
        "aten::conv",
    ),
    "attention": ("aten::_scaled_dot", "aten::scaled_dot", "aten::_softmax", "aten::softmax"),
    "norms": ("aten::native_layer_norm", "aten::layer_norm", "aten::native_batch_norm", "aten::batch_norm"),
    "activations": ("aten::gelu", "aten::hardtanh", "aten::relu", "aten::clamp", "aten::silu"),
    "token embeddings": ("aten::embedding", "aten::index_select", "aten::gather", "aten::index"),
    "optimizer": (
        "Optimizer",
        "aten::_foreach",
        "aten::_fused",
        "aten::addcdiv",
        "aten::addcmul",
        "aten::lerp",
        "aten::sqrt",
    ),
    "copies, sums, products": ("aten::",),
}
REST = "outside torch (tokens, pixels, Python)"
COLOURS = (*(f"C{number}" for number in range(len(HATCHES))), "#a8b0ae", "#dedad2")  # of the kinds, and of the rest
STEPS = 3  # of training under the profiler


def classify_operation(name: str) -> str:
    """Return the kind of an operation."""
    return next((kind for kind, starts in KINDS.items() if name.startswith(starts)), REST)


def measure_shares(work: Callable[[], Any]) -> dict[str, float]:
    """Return the share of each kind of operation, in [0, 1], of the time of `work` in one thread."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as found, torch.profiler.record_function("everything"):
        work()
    averages = found.key_averages()
    whole = next(entry.cpu_time_total for entry in averages if entry.key == "everything")
    spent: dict[str, float] = defaultdict(float)
    for entry in averages:
        if entry.key != "everything":
            spent[classify_operation(entry.key)] += entry.self_cpu_time_total / whole
    spent[REST] += max(0.0, 1 - sum(spent.values()))
    return dict(spent)


def make_encoding(kind: str, name: str, items: list[Any]) -> Callable[[], Any]:
    """Return a function that encodes items with a frozen encoder in this thread."""
    encoder = get_inference_form(describe(kind, name).build())

    def work() -> None:
        with torch.inference_mode():
            for batch in plan_batches(encoder.costs(items), encoder.budget, torch.get_num_threads()):
                encoder(**encoder.prepare([items[row] for row in batch]))

    return work


def make_training(folder: Path, **recipe: str) -> Callable[[], Any]:
    """Return a function that runs a few training steps on a fiftieth of the starter corpus' concepts."""
    made = ModelConfig(vision_tower=f"{TOWER}:,size=64", tune="text", **recipe)  # type: ignore[arg-type]
    run = AlignConfig(
        languages=[resolve_language("sw"), resolve_language("en")],
        recipe=made,
        out=folder,
        sample=SamplingConfig(share=0.02),
        class_names=False,
    )
    work = prepare_run(run)
    for data in work.sides:
        data.attach_backbone()
    live = any(data.live for data in work.sides)
    chosen = replace(TOWERS if live else HEADS, batch_size=64, caption_loss=0.0)
    ready = make_phase("profile", chosen, work)
    accelerator = compute.create_accelerator(ready.compute)
    model, optimizer = prepare_training(accelerator, work.aligner, ready)

    def steps() -> None:
        for number in range(STEPS):
            run_step(accelerator, model, optimizer, ready, number)

    return steps


def draw_bars(found: dict[str, dict[str, float]], path: Path) -> None:
    """Draw stacked bars, one per workload."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_plot(path, 10.0, 3.2, what="the plot of shares") as figure:
        panel = figure.subplots()
        left = [0.0] * len(found)
        for number, kind in enumerate([*KINDS, REST]):
            widths = [100 * one.get(kind, 0.0) for one in found.values()]
            look = {"hatch": (*HATCHES, "", "///")[number], "edgecolor": "white", "linewidth": 0.5}
            panel.barh(list(found), widths, left=left, label=kind, color=COLOURS[number], **look)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        panel.invert_yaxis()
        panel.grid(axis="y", visible=False)
        panel.set(xlabel="% of the time, one thread", xlim=(0, 100))
        add_legend(panel)


def main(
    count: Annotated[int, typer.Option("--captions", min=10)] = 200,
    images: Annotated[int, typer.Option("--pictures", min=1)] = 16,
    out: Annotated[Path, typer.Option()] = Path("docs/explanation/performance.png"),
) -> None:
    """Write the plot, and its figures beside it as JSON."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        pieces = {
            "encoding captions": make_encoding("encoders", "e5-small", load_captions(count)),
            "encoding images (WebP)": make_encoding("towers", TOWER, load_images(images, "noto")),
            "heads, a step": make_training(Path(folder) / "heads", method="heads"),
            "lilt-ln in the text encoder, a step": make_training(Path(folder) / "lilt-ln", method="lilt-ln"),
            "full, the text encoder, a step": make_training(Path(folder) / "full", method="full"),
        }
        found = {name: measure_shares(work) for name, work in pieces.items()}
    draw_bars(found, out)
    out.with_suffix(".json").write_text(
        json.dumps({**collect_facts(), "shares": found}, ensure_ascii=False, indent=1) + "\n", "utf-8"
    )


if __name__ == "__main__":
    typer.run(main)
