"""Bill of materials: everything that a run is made of, its licence, and whether commercial use is allowed."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from polyclip.core.storage import exists
from polyclip.core.toml import parse_toml
from polyclip.data.corpus import load_corpus
from polyclip.data.corpus_names import split_name
from polyclip.errors import PolyclipError

YES, CONDITIONS, UNCLEAR, NO = "yes", "conditions", "unclear", "no"
ORDER = (YES, CONDITIONS, UNCLEAR, NO)  # the worst decides
WORDS = {YES: "yes", CONDITIONS: "yes, with conditions", UNCLEAR: "not settled", NO: "no"}
UNKNOWN = "NOASSERTION"  # SPDX's identifier for an unknown licence
NOT_STATED = "no licence is stated where polyclip can read it; ask the holder"
FILE = Path(__file__).with_name("licences.toml")
DEEPEST = 8  # runs that go on from runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One material; `commercial` is yes, conditions, unclear or no."""

    part: str
    name: str
    spdx: str
    url: str = ""
    commercial: str = UNCLEAR
    why: str = NOT_STATED
    note: str = ""


def build_bill(run: dict[str, Any]) -> list[Material]:
    """List the materials of a run with their licences and verdicts on commercial use.

    Reads packs and local model cards, never the network.

    Args:
        run: Settings in result.json or run.toml.

    Returns:
        Encoders, teacher, corpus, and the materials of the run that this one was continued from.

    """
    return list(dict.fromkeys(judge_item(item) for item in list_materials(run, DEEPEST)))


def list_materials(run: dict[str, Any], depth: int) -> Iterator[Material]:
    """Yield every material, without verdicts."""
    recipe = run["recipe"]
    yield describe_model("text encoder", recipe["text_encoder"])
    for part in split_towers(recipe["vision_tower"]):
        yield describe_model("vision tower", part)
    if recipe.get("teacher"):
        yield from list_teacher_materials(recipe["teacher"], depth)
    for corpus in split_name(run["corpus"]):
        yield from list_corpus_materials(corpus.name)
    if "continued" in run and depth:
        yield from list_run_materials(Path(run["continued"]["from"]), depth)
    yield Material(
        part="program", name="polyclip", spdx="Apache-2.0", url="https://www.apache.org/licenses/LICENSE-2.0"
    )


def split_towers(tower: str) -> list[str]:
    """Split vision encoders that are used side by side."""
    return tower.split("+") if "+" in tower and "/" not in tower else [tower]


def describe_model(part: str, name: str) -> Material:
    """Describe an encoder: one of ours, timm's own statement, or the card in a local folder or in the Hub's cache."""
    plain = name.partition(":")[0]
    for facts in load_licence_table()["models"]:
        if plain in facts["names"]:
            return Material(
                part=part, name=f"{name} ({facts['holder']})", spdx=facts["spdx"], url=facts["url"], note=facts["note"]
            )
    kind, _, rest = name.partition(":")
    argument = (rest if kind in ("timm", "huggingface", "clip") else name).partition(",")[0]
    if kind == "timm":
        return describe_timm_model(part, name, argument)
    return Material(part=part, name=name, spdx=read_card_licence(argument), url=get_hub_page(argument))


def describe_timm_model(part: str, name: str, argument: str) -> Material:
    """Describe timm's pretrained weights; nothing is known of a local weights file."""
    from timm.models import get_pretrained_cfg

    if "weights=" in name:
        return Material(
            part=part,
            name=name,
            spdx=UNKNOWN,
            note="Weights from a local file: only its author knows the licence.",
        )
    config = get_pretrained_cfg(argument, allow_unregistered=True)
    return Material(
        part=part,
        name=name,
        spdx=normalize_spdx((config and config.license) or ""),
        url=get_hub_page((config and config.hf_hub_id) or ""),
    )


def list_teacher_materials(name: str, depth: int) -> Iterator[Material]:
    """Yield the teacher of a distillation method, or the materials of the run that it is."""
    if name.startswith("clip:"):
        yield describe_model("teacher", name)
    elif depth:
        yield from list_run_materials(Path(name), depth)


def list_corpus_materials(name: str) -> Iterator[Material]:
    """Yield captions and images, as the corpus' pack describes them."""
    try:
        pack = load_corpus(name).pack
    except PolyclipError:
        yield Material(part="captions and images", name=name, spdx=UNKNOWN, why="the corpus' pack is not at hand")
        return
    for licence in pack.licences:
        yield Material(part=licence.part, name=licence.holder, spdx=normalize_spdx(licence.spdx), url=licence.url)
    if not pack.licences:
        yield Material(
            part="captions and images",
            name=f"corpus {pack.name}",
            spdx=UNKNOWN,
            why="the corpus' pack has no [[licences]]; add them and align again",
        )


def list_run_materials(folder: Path, depth: int) -> Iterator[Material]:
    """Yield the materials of the run that this one was continued or distilled from."""
    try:
        started = parse_toml((folder / "run.toml").read_text("utf-8"))
        yield from list_materials(started, depth - 1)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError):
        yield Material(
            part="earlier run", name=folder.name, spdx=UNKNOWN, why="its folder is not at hand: see its card"
        )


def read_card_licence(argument: str) -> str:
    """Read the licence in a model card of a local folder or of the Hub's cache; nothing is downloaded."""
    from huggingface_hub import ModelCard, try_to_load_from_cache

    path: Any = Path(argument) / "README.md"
    if not path.is_file():
        path = (
            try_to_load_from_cache(argument, "README.md")
            if "/" in argument and argument.count("/") == 1 and not argument.startswith(".")
            else None
        )
    if not isinstance(path, str | Path):
        return UNKNOWN
    try:
        return normalize_spdx(str(ModelCard.load(path).data.get("license") or ""))
    except (OSError, ValueError):  # a card without readable metadata has no licence
        return UNKNOWN


def get_hub_page(argument: str) -> str:
    """Return the web page of a name on the Hub."""
    return (
        f"https://huggingface.co/{argument}"
        if argument.count("/") == 1 and not argument.startswith((".", "/")) and not exists(Path(argument))
        else ""
    )


def normalize_spdx(text: str) -> str:
    """Spell an identifier as SPDX does (the Hub and timm use lower case); NOASSERTION where there is none."""
    known = {name.lower(): name for entry in load_licence_table()["licences"] for name in entry["spdx"]}
    stated = text.strip()
    return (
        known.get(stated.lower(), stated) if stated and stated.lower() not in ("other", "unknown", "none") else UNKNOWN
    )


def judge_item(item: Material) -> Material:
    """Add the verdict on commercial use: of `A AND B` the stricter, of `A OR B` the freer."""
    if item.spdx == UNKNOWN:
        return item
    found = pick_strictest(
        [
            pick_freest([judge_licence(one) for one in part.split(" OR ")])
            for part in item.spdx.strip("()").split(" AND ")
        ]
    )
    return replace(item, commercial=found[0], why=found[1])


def judge_licence(spdx: str) -> tuple[str, str]:
    """Return verdict and reason for one licence identifier."""
    for entry in load_licence_table()["licences"]:
        if spdx.strip(" ()") in entry["spdx"]:
            return entry["commercial"], entry["why"]
    return UNCLEAR, f"polyclip does not know the licence {spdx.strip(' ()')}; read it"


def pick_strictest(found: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return the strictest verdict with its reason."""
    return max(found, key=lambda pair: ORDER.index(pair[0]))


def pick_freest(found: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return the freest verdict with its reason."""
    return min(found, key=lambda pair: ORDER.index(pair[0]))


def summarize_licences(items: Sequence[Material]) -> str:
    """Say in plain sentences whether the whole may be used commercially; the strictest material decides."""
    verdict = max((item.commercial for item in items), key=ORDER.index)
    deciding = "; ".join(
        dict.fromkeys(f"{item.part} ({item.spdx}: {item.why})" for item in items if item.commercial == verdict)
    )
    said = {
        NO: f"Commercial use: no. It is forbidden by {deciding}.",
        UNCLEAR: f"Commercial use: not settled. To be asked about: {deciding}.",
        CONDITIONS: f"Commercial use: yes, with conditions. They are set by {deciding}.",
        YES: "Commercial use: yes. Every licence below allows it; keep the notices of what is passed on.",
    }
    open_questions = " What no licence settles is noted below the table." if any(item.note for item in items) else ""
    return f"{said[verdict]}{open_questions} This is a reading of licences, no legal advice."


@cache
def load_licence_table() -> dict[str, Any]:
    """Load licences.toml, the table of known licences and models."""
    return parse_toml(FILE.read_text("utf-8"))
