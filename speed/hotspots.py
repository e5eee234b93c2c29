"""Where the time goes: a picture for docs/performance.md. torch's profiler over four pieces of work, what it records by kind of operation.

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

from polyclip.data.pairs import Sample
from polyclip.languages.resolve import resolve_language
from polyclip.models import feature_cache
from polyclip.models.backbone import describe
from polyclip.models.branch import ModelConfig
from polyclip.training import compute
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.loop import step, trainable
from polyclip.training.prepare import phase, prepared
from speed._machine import facts
from speed._material import TOWER, captions, pictures

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
    "token table": ("aten::embedding", "aten::index_select", "aten::gather", "aten::index"),
    "optimiser": (
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
STEPS = 3  # of training under the profiler


def kind_of(name: str) -> str:
    """Of an operation."""
    return next((kind for kind, starts in KINDS.items() if name.startswith(starts)), REST)


def shares(work: Callable[[], Any]) -> dict[str, float]:
    """Share of each kind of operation, in [0, 1], of the time that `work` takes in one thread."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as found, torch.profiler.record_function("everything"):
        work()
    averages = found.key_averages()
    whole = next(entry.cpu_time_total for entry in averages if entry.key == "everything")
    spent: dict[str, float] = defaultdict(float)
    for entry in averages:
        if entry.key != "everything":
            spent[kind_of(entry.key)] += entry.self_cpu_time_total / whole
    spent[REST] += max(0.0, 1 - sum(spent.values()))
    return dict(spent)


def encoding(kind: str, name: str, items: list[Any]) -> Callable[[], Any]:
    """Items through a frozen tower in the form that it is run in, in this thread."""
    encoder = feature_cache.inference_form(describe(kind, name).build())

    def work() -> None:
        with torch.inference_mode():
            for batch in feature_cache.in_budget(encoder.costs(items), encoder.budget):
                encoder(**encoder.prepare([items[row] for row in batch]))

    return work


def training(folder: Path, **recipe: str) -> Callable[[], Any]:
    """A few steps of a method on a fiftieth of the starter corpus' concepts."""
    made = ModelConfig(vision_tower=f"{TOWER}:,size=64", tune="text", **recipe)  # type: ignore[arg-type]
    run = AlignConfig(
        languages=[resolve_language("sw"), resolve_language("en")],
        recipe=made,
        out=folder,
        sample=Sample(share=0.02),
        class_names=False,
    )
    work = prepared(run)
    for data in work.sides:
        data.go_live()
    live = any(data.live for data in work.sides)
    chosen = replace(TOWERS if live else HEADS, batch_size=64, caption_loss=0.0)
    ready = phase("profile", chosen, work)
    accelerator = compute.accelerator(ready.compute)
    model, optimizer = trainable(accelerator, work.aligner, ready)

    def steps() -> None:
        for number in range(STEPS):
            step(accelerator, model, optimizer, ready, number)

    return steps


def draw(found: dict[str, dict[str, float]], path: Path) -> None:
    """Stacked bars, one a piece of work."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(9, 3.2), constrained_layout=True)
    left = [0.0] * len(found)
    for number, kind in enumerate([*KINDS, REST]):
        widths = [100 * one.get(kind, 0.0) for one in found.values()]
        panel.barh(list(found), widths, left=left, label=kind, color=pyplot.get_cmap("tab10")(number))
        left = [a + b for a, b in zip(left, widths, strict=True)]
    panel.invert_yaxis()
    panel.set(xlabel="% of the time, one thread", xlim=(0, 100))
    panel.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(
    count: Annotated[int, typer.Option("--captions", min=10)] = 200,
    images: Annotated[int, typer.Option("--pictures", min=1)] = 16,
    out: Annotated[Path, typer.Option()] = Path("docs/performance.png"),
) -> None:
    """Write the picture, and its figures beside it as JSON."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        pieces = {
            "encoding captions": encoding("encoders", "e5-small", captions(count)),
            "encoding pictures (WebP)": encoding("towers", TOWER, pictures(images, "noto")),
            "heads, a step": training(Path(folder) / "heads", method="heads"),
            "lilt-ln in the text tower, a step": training(Path(folder) / "lilt-ln", method="lilt-ln"),
            "full, the text tower, a step": training(Path(folder) / "full", method="full"),
        }
        found = {name: shares(work) for name, work in pieces.items()}
    draw(found, out)
    out.with_suffix(".json").write_text(
        json.dumps({**facts(), "shares": found}, ensure_ascii=False, indent=1) + "\n", "utf-8"
    )


if __name__ == "__main__":
    typer.run(main)
