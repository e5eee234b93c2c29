"""The model card of a run: README.md in the format of the Hugging Face Hub, made from the run folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from polyclip.core.storage import describe_disk_error, hash_parts, read_plain_bytes, write_text
from polyclip.data.corpus_names import split_name
from polyclip.errors import DataError
from polyclip.report.card_format import (
    format_cell,
    format_language_name,
    format_mean_cell,
    format_percent,
    render_markdown_table,
)
from polyclip.report.card_metadata import render_metadata
from polyclip.report.licences import (
    UNKNOWN,
    WORDS,
    Material,
    build_bill,
    summarize_licences,
)
from polyclip.report.reproduce import build_command
from polyclip.report.run_facts import DIRECTIONS, RunFacts, read_facts
from polyclip.report.table import format_language

NAME = "README.md"
MARK = re.compile(r"\n<!-- written by polyclip; an edited card is left alone\. ([0-9a-f]{16}) -->\n$")
FEW = 5  # unseen languages at either end of the ranking


def write_card(folder: Path) -> Path | None:
    """Write README.md into a finished run folder.

    Args:
        folder: The run folder.

    Returns:
        The path of the card; None where the card was edited by hand, which is not overwritten.

    Raises:
        RunError: The folder has no result.
        DataError: A file of the folder is damaged.

    """
    path = folder / NAME
    if is_edited(path):
        return None
    text = render_card(read_facts(folder))
    write_text(
        path,
        f"{text}\n<!-- written by polyclip; an edited card is left alone. {hash_parts(text)[:16]} -->\n",
        what="the model card",
    )
    return path


def is_edited(path: Path) -> bool:
    """Whether there is a card that polyclip did not write, or that was changed since.

    Raises:
        DataError: What stands there cannot be read.

    """
    if not path.exists():
        return False
    try:
        text = read_plain_bytes(path).decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {describe_disk_error(error)}. Remove it for a new card.") from error
    found = MARK.search(text)
    return found is None or hash_parts(text[: found.start()])[:16] != found[1]


def render_card(facts: RunFacts) -> str:
    """Render the whole card: metadata, then text."""
    items = build_bill(facts.run)
    parts = [
        render_intro(facts),
        render_usage(facts),
        render_results(facts),
        render_retention(facts),
        render_materials(items),
        render_limits(facts),
        render_origin(facts),
    ]
    return f"---\n{render_metadata(facts)}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def render_intro(facts: RunFacts) -> str:
    """Render what the model is."""
    model, recipe = facts.model, facts.run["recipe"]
    named = ", ".join(format_language_name(code) for code in facts.run["languages"])
    return (
        f"# {facts.folder.resolve().name}\n\nText and images in one embedding space for {named}: the frozen text "
        "encoder "
        f"`{recipe['text_encoder']}` and "
        f"the frozen vision encoder `{recipe['vision_tower']}`, aligned by polyclip with method `{model['method']}`. "
        "This repository holds the "
        f"trained parts alone: {model['trained_parameters']:,} of {model['total_parameters']:,} parameters "
        f"({100 * model['trained_share']:.2f} %)."
    )


def render_usage(facts: RunFacts) -> str:
    """Render how to load the model."""
    name = facts.folder.resolve().name
    code = facts.run["languages"][0]
    return (
        "## How to use\n\n```sh\npip install 'polyclip[starter]'\n```\n\n```python\nimport polyclip\nfrom PIL import "
        "Image\n\n"
        f'model = polyclip.load("{name}")  # this folder, or "owner/{name}" on the hub, revision="..." for one state '
        "of it\n"
        f'words = model.encode_text(["..."], language="{code}")  # embeddings, float32, [n, {facts.model["dim"]}] or '
        "a multiple\n"
        'images = model.encode_image([Image.open("image.jpg")])\nsimilarity = words @ images.T  # cosines\n```\n\n'
        "On the command line: `polyclip search`, `polyclip eval`, `polyclip report`, each with `--model` or the "
        "folder. Weights are safetensors only; "
        "nothing here is code, and loading with other encoders than those it was trained on is refused."
    )


def render_results(facts: RunFacts) -> str:
    """Render recall of every language in both directions."""
    leading = next(iter(facts.get_figures("text_to_image").values()))
    first, metrics = leading["recall@1"], facts.get_metrics("text_to_image")
    chance = ", ".join(format_percent(leading[metric].chance) for metric in metrics)
    head = (
        f"## Results\n\nBenchmark `{first.benchmark}`, protocol `{first.protocol}`, split `{first.split}`: "
        f"{first.queries} queries among {first.gallery} "
        "images in the first language below; percent [95 % interval], "
        f"{facts.origin.get('interval', 'bootstrap over clusters')}; chance {chance} for "
        f"{', '.join(metrics)}. {describe_unseen(facts)}"
    )
    return "\n\n".join(
        [head, *(render_direction_table(facts, direction) for direction in DIRECTIONS), *facts.origin.get("notes", [])]
    )


def describe_unseen(facts: RunFacts) -> str:
    """Say what of the tested images the scored model, or the scored models, had seen."""
    if "folds" not in facts.run:
        return "Nothing of that split was trained on, in any language."
    return "Each image was tested by a model that was trained without it, in any language; see the notes below."


def render_direction_table(facts: RunFacts, direction: str) -> str:
    """Render a Markdown table: all trained languages, the best and worst unseen ones, means."""
    found = facts.get_figures(direction)
    metrics = facts.get_metrics(direction)
    trained, others = ([code for code in found if found[code]["recall@1"].seen is seen] for seen in (True, False))
    shown = others if len(others) <= 2 * FEW else [*others[:FEW], *others[-FEW:]]
    cut = f"; of {len(others)} unseen languages the best and the worst {FEW}" if len(shown) < len(others) else ""
    rows = [
        [
            format_language(code),
            "yes" if code in trained else "no",
            str(found[code]["recall@1"].queries),
            *(format_cell(found[code][m]) for m in metrics),
        ]
        for code in trained + shown
    ]
    rows += [
        [format_language(code), "", "0", *("no score" for _ in metrics)]
        for code in facts.origin.get("without_score", [])
    ]
    for group, heading in (("trained", "trained"), ("never trained", "unseen")):
        cells = [format_mean_cell(facts.mean(direction, group, metric)) for metric in metrics]
        rows += [[f"mean, {heading}", "", "", *cells]] if any(cells) else []
    return f"### {direction.replace('_', ' ').capitalize()}{cut}\n\n" + render_markdown_table(
        ["language", "trained", "queries", *metrics], rows
    )


def render_retention(facts: RunFacts) -> str:
    """Render retention: what the encoders could do before and after alignment."""
    if not facts.knowledge:
        return ""
    rows = [
        [
            kept.part,
            kept.question,
            format_percent(kept.before),
            format_percent(kept.after),
            f"{100 * kept.change:+.1f} [{100 * kept.low:+.1f}, {100 * kept.high:+.1f}]",
        ]
        for kept in facts.knowledge
    ]
    return "## Retention\n\nBefore and after alignment, percent.\n\n" + render_markdown_table(
        ["of", "asked", "before", "after", "change [95 %]"], rows
    )


def render_materials(items: Sequence[Material]) -> str:
    """Render the bill of materials and its summary."""
    rows = [[item.part, item.name, render_link(item), WORDS[item.commercial], item.why] for item in items]
    notes = list(dict.fromkeys(f"- {item.name}: {item.note}" for item in items if item.note))
    said = f"## Bill of materials\n\n**{summarize_licences(items)}**\n\n" + render_markdown_table(
        ["part", "what", "licence (SPDX)", "commercial use", "why"], rows
    )
    return "\n\n".join([said, *(["\n".join(notes)] if notes else [])])


def render_link(item: Material) -> str:
    """Render the licence identifier as a link to its page."""
    name = "not stated" if item.spdx == UNKNOWN else item.spdx
    return f"[{name}]({item.url})" if item.url else name


def describe_corpora(name: str) -> str:
    """Describe what a model was trained on: "the corpus `emoji`", or several."""
    names = [f"`{Path(part.name).name.removesuffix('.toml')}`" for part in split_name(name)]
    return f"the corpus {names[0]}" if len(names) == 1 else f"the corpora {' and '.join(names)}"


def render_limits(facts: RunFacts) -> str:
    """Render the limits of the model."""
    found = facts.get_figures("text_to_image")
    last = facts.get_metrics("text_to_image")[-1]
    weak = [format_language(code) for code, figures in found.items() if figures[last].low <= 2 * figures[last].chance]
    said = [
        f"It was trained on {describe_corpora(facts.run['corpus'])} alone: expect less on "
        "other kinds of "
        "images and longer captions, and measure with images of your own (`polyclip eval retrieval`).",
        "Both encoders have the biases of what they were pretrained on; similarity is no judgement of people, and "
        "must not decide about them.",
        "Scores were measured once, with one seed; another seed gives another model. Differences within the "
        "intervals say nothing.",
    ]
    said += [f"Hardly better than chance (the interval begins below twice chance): {', '.join(weak)}."] if weak else []
    said += [
        "Languages that are not in the tables were not measured. `polyclip doctor --lang CODE` says whether the text "
        "encoder reads one."
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in said)


def render_origin(facts: RunFacts) -> str:
    """Render how to reproduce the model."""
    versions = ", ".join(f"{name} {number}" for name, number in facts.origin["versions"].items())
    hashes = "\n".join(
        f"- {part.replace('_', ' ')}: `{facts.origin['hashes'][part]}`" for part in ("text_encoder", "vision_tower")
    )
    settings = "\n".join(
        f"- {phase}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.run[phase].items())
        for phase in ("heads", "towers")
        if phase == "heads" or any(line.get("phase") == facts.model["method"] for line in facts.log)
    )
    seconds = ", ".join(f"{part} {value:.0f} s" for part, value in facts.seconds.items())
    return (
        f"## How it was made\n\n```sh\n{build_command(facts.run, facts.folder)}\n```\n\nEverything that decides the "
        "result is in `run.toml`; "
        f"settings that no option sets are there too.\n\n{settings}\n- seed {facts.origin['seed']}; {seconds}\n- "
        f"{versions}\n\n"
        f"Identity of the frozen encoders (weights and preprocessing):\n\n{hashes}"
    )
