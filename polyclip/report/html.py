"""A run as one self-contained HTML file: figures, curves, licences and example queries; no scripts, no requests."""

import html
from collections.abc import Sequence
from pathlib import Path

from polyclip.core.storage import write_text
from polyclip.errors import escape_unseen
from polyclip.evaluation.chance import VERDICT, is_at_chance, is_telling
from polyclip.evaluation.results import Score
from polyclip.languages.schema import list_languages, load_language
from polyclip.report.card_format import format_language_name
from polyclip.report.charts import draw_bar, draw_curve
from polyclip.report.examples import Grid, QueryExample, RunExamples
from polyclip.report.licences import UNKNOWN, WORDS, Material, build_bill, summarize_licences
from polyclip.report.reproduce import build_command
from polyclip.report.run_facts import DIRECTIONS, RunFacts
from polyclip.report.table import format_language

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = Path(__file__).with_name("page.css")
BOXES = (
    "Letters that show as boxes need a font on the device that shows this page; on Debian and Ubuntu: apt "
    "install fonts-noto-core fonts-noto-cjk."
)


def write_page(path: Path, facts: RunFacts, found: RunExamples | None) -> None:
    """Write the page atomically; without `found` it has no images."""
    write_text(path, render_page(facts, found), what="the report")


def render_page(facts: RunFacts, found: RunExamples | None) -> str:
    """Render the whole HTML document."""
    seen = " (of images that it was trained on)" if facts.run.get("final") else ""
    title = escape(f"{facts.folder.resolve().name} · polyclip")
    parts = [
        ("curves", "Learning curves", render_curves(facts)),
        ("recall", "Recall by language", "".join(render_recall(facts, direction) for direction in DIRECTIONS)),
        ("knowledge", "Retention", render_retention(facts)),
        ("map", f"Words by images{seen}", "" if found is None else render_maps(found)),
        ("queries", f"Best and worst queries{seen}", "" if found is None else render_queries(found)),
        ("materials", "Bill of materials", render_materials(build_bill(facts.run))),
        ("making", "How it was made", render_origin(facts)),
    ]
    shown = [part for part in parts if part[2]]
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name, _ in shown)
    body = "\n".join(f'<section id="{key}"><h2>{name}</h2>\n{content}</section>' for key, name, content in shown)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        f'content="{POLICY}"><title>{title}</title>\n<style>{STYLE.read_text("utf-8")}</style></head>\n'
        f'<body><header>{render_heading(facts)}<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n'
        f'<main>\n{body}\n</main>\n<footer class="soft"><p>{BOXES}</p></footer></body></html>\n'
    )


def render_heading(facts: RunFacts) -> str:
    """Render name, description, and the first trained language's headline score."""
    model, recipe = facts.model, facts.run["recipe"]
    figures = facts.get_figures("text_to_image")
    code = facts.run["languages"][0] if facts.run["languages"][0] in figures else next(iter(figures))
    metric = facts.get_metrics("text_to_image")[-1]
    score, first = figures[code][metric], int(metric.partition("@")[2])
    verdict = f"; {VERDICT}" if is_at_chance(score) else ""
    named = ", ".join(format_language_name(trained) for trained in facts.run["languages"])
    return (
        f"<h1>{escape(facts.folder.resolve().name)}</h1><p>{escape(named)}: {escape(recipe['text_encoder'])} and "
        f"{escape(recipe['vision_tower'])}, aligned by "
        f"method {escape(model['method'])}; {model['trained_parameters']:,} of {model['total_parameters']:,} "
        "parameters trained.</p>"
        f'<p class="verdict">{escape(format_language(code))}: {100 * score.value:.1f} % of {score.queries} names find '
        f"their image {'first' if first == 1 else f'among the first {first}'} of {score.gallery} "
        f"(95 % interval {100 * score.low:.1f} to {100 * score.high:.1f}; by chance {100 * score.chance:.1f}{verdict})."
        "</p>"
        + "".join(
            f'<p class="soft">{escape(note)}</p>' for note in facts.origin.get("notes", []) if "folds" in facts.run
        )
    )


def render_curves(facts: RunFacts) -> str:
    """Render validation and loss curves, and the same values as a table."""
    drawn = draw_curve(facts.log, "validation", "Validation recall, percent", share=True) + draw_curve(
        facts.log, "loss", "Training loss", share=False
    )
    rows = [
        [
            escape(line["phase"]),
            str(line["epoch"]),
            f"{line['loss']:.3f}" if "loss" in line else "",
            f"{100 * line['validation']:.1f}" if "validation" in line else "",
        ]
        for line in facts.log
    ]
    listed = render_table(
        "Every epoch: mean loss, and validation recall (mean of recall@1, 5 and 10) in percent",
        ["phase", "epoch", "loss", "validation"],
        rows,
    )
    return f'<div class="curves">{drawn}</div><details><summary>As a table</summary>{listed}</details>' if rows else ""


def render_recall(facts: RunFacts, direction: str) -> str:
    """Render recall of every language under the headline protocol, trained ones first; the bar is the largest k's."""
    rows = []
    metrics = facts.get_metrics(direction)
    for code, found in facts.get_figures(direction).items():
        last = found[metrics[-1]]
        rows.append(
            [
                escape(format_language(code)),
                "trained" if last.seen else "unseen",
                draw_bar(last) if is_telling(last) else "",
                *(render_recall_cell(found[metric]) for metric in reversed(metrics)),
                f"{last.queries} / {last.gallery}",
            ]
        )
    for line in facts.origin.get("without_score", []) if rows else []:
        rows.append([escape(format_language(line)), "no captions", "", *("-" for _ in metrics), "0"])
    said = (
        f"{direction.replace('_', ' ').capitalize()}, {facts.scores[0].benchmark}, {facts.protocol}, "
        f"{facts.scores[0].split}: percent [95 % interval]. "
        f"The bar shows {metrics[-1]} from 0 to 100: dot the value, thick line the interval, upright mark chance."
    )
    drawn = render_table(said, ["language", "", f"{metrics[-1]} chart", *reversed(metrics), "queries / gallery"], rows)
    title = direction.replace("_", " ").capitalize()
    return (
        f"<h3>{title}</h3>{drawn}"
        if direction == DIRECTIONS[0]
        else f"<details><summary>{title}</summary>{drawn}</details>"
    )


def render_recall_cell(score: Score) -> str:
    """Render a recall with its interval and, where it is not above chance, the verdict; `-` where k says nothing."""
    if not is_telling(score):
        return "-"
    text = f"{100 * score.value:.1f} [{100 * score.low:.0f}, {100 * score.high:.0f}]"
    return text + (f'<br><span class="soft">{VERDICT}</span>' if is_at_chance(score) else "")


def render_retention(facts: RunFacts) -> str:
    """Render retention: what the encoders could do before and after alignment."""
    rows = [
        [
            escape(k.part),
            escape(k.question),
            f"{100 * k.before:.1f}",
            f"{100 * k.after:.1f}",
            f"{100 * k.change:+.1f} [{100 * k.low:+.1f}, {100 * k.high:+.1f}]",
        ]
        for k in facts.knowledge
    ]
    return (
        render_table(
            "Before and after alignment, percent [95 % of the change]",
            ["of", "asked", "before", "after", "change"],
            rows,
        )
        if rows
        else ""
    )


def render_maps(found: RunExamples) -> str:
    """Render a similarity map for each language; the first is open."""
    about = (
        '<p class="soft">Cosine times 100 of each word with each image; framed: the word\'s own image; underlined: '
        "the most similar of these. "
        "Words are chosen by hash, not by score.</p>"
    )
    return about + "".join(
        render_details(code, render_map(code, grid, found.thumbnails), number == 0)
        for number, (code, grid) in enumerate(found.grids.items())
    )


def render_map(code: str, grid: Grid, thumbnails: dict[str, str]) -> str:
    """Render words as rows and images as columns; the stronger the colour, the more similar within this map."""
    values = [value for line in grid.cosines for value in line]
    low, span = min(values), max(max(values) - min(values), 1e-9)
    names = dict(zip(grid.concepts, grid.words, strict=True))
    head = "".join(
        f'<th scope="col">{render_image(thumbnails[concept], names[concept])}</th>' for concept in grid.concepts
    )
    rows = []
    for number, (word, line) in enumerate(zip(grid.words, grid.cosines, strict=True)):
        cells = [
            f'<td class="{"own" if column == number else ""}{" top" if value == max(line) else ""}" '
            f'style="background:rgba(var(--heat),{0.65 * (value - low) / span:.2f})">{round(100 * value)}</td>'
            for column, value in enumerate(line)
        ]
        rows.append(f'<tr><th scope="row" {format_language_attributes(code)}>{escape(word)}</th>{"".join(cells)}</tr>')
    caption = f"<caption>{escape(format_language(code))}: cosine × 100 of words (rows) and images (columns)</caption>"
    return wrap_scrollable(
        f'<table class="map">{caption}<thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>',
        f"Map, {format_language(code)}",
    )


def render_queries(found: RunExamples) -> str:
    """Render the best and worst queries of each language with what they retrieved."""
    parts = []
    for number, code in enumerate(found.best):
        best = "".join(render_query(code, answer, found) for answer in found.best[code])
        worst = "".join(render_query(code, answer, found) for answer in found.worst[code])
        content = f'<h3>Best</h3><ul class="cards">{best}</ul>' + (
            f'<h3>Worst</h3><ul class="cards">{worst}</ul>' if worst else ""
        )
        parts.append(render_details(code, content, number == 0))
    return (
        f'<p class="soft">Each query with its own image, then the first images found among {found.gallery}; framed: '
        "its own.</p>" + "".join(parts)
    )


def render_query(code: str, answer: QueryExample, found: RunExamples) -> str:
    """Render one query with its images."""
    strip = "".join(
        render_image(found.thumbnails[c], f"number {n}, cosine {v:.2f}", c == answer.concept)
        for n, (c, v) in enumerate(answer.found, 1)
    )
    return (
        f'<li><p class="query" {format_language_attributes(code)}>{escape(answer.query)}</p><p class="soft">place '
        f"{answer.rank + 1} of {found.gallery}, cosine {answer.own:.2f}</p>"
        f'{render_image(found.thumbnails[answer.concept], answer.query, True)}<div class="strip">{strip}</div></li>'
    )


def render_materials(items: Sequence[Material]) -> str:
    """Render the materials, their licences, and whether commercial use is allowed."""
    rows = [
        [escape(item.part), escape(item.name), render_link(item), WORDS[item.commercial], escape(item.why)]
        for item in items
    ]
    notes = "".join(f"<li>{escape(item.name)}: {escape(item.note)}</li>" for item in dict.fromkeys(items) if item.note)
    drawn = render_table(
        "Every material, its licence, and what that says of commercial use",
        ["part", "what", "licence", "commercial use", "why"],
        rows,
        "bill",
    )
    return f'<p class="verdict">{escape(summarize_licences(items))}</p>{drawn}' + (
        f'<ul class="soft">{notes}</ul>' if notes else ""
    )


def render_link(item: Material) -> str:
    """Render the licence identifier as a link to its page."""
    name = "not stated" if item.spdx == UNKNOWN else escape(item.spdx)
    return f'<a href="{escape(item.url)}" rel="noreferrer">{name}</a>' if item.url else name


def render_origin(facts: RunFacts) -> str:
    """Render command, seed, versions and seconds."""
    versions = ", ".join(f"{name} {number}" for name, number in facts.origin["versions"].items())
    seconds = ", ".join(f"{part} {value:.0f} s" for part, value in facts.seconds.items())
    return (
        f"<p><code>{escape(build_command(facts.run, facts.folder))}</code></p><p>Seed {facts.origin['seed']}; "
        f"{escape(seconds)}.</p><p>{escape(versions)}</p>"
    )


def render_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Render a table; cells are HTML, the first of a row is its heading, numbers are right-aligned."""
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(render_cell(value) for value in row[1:])}</tr>' for row in rows
    )
    return wrap_scrollable(
        f'<table class="{kind}"><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>",
        caption,
    )


def render_cell(value: str) -> str:
    """Render a table cell, right-aligned if it is a number."""
    return f'<td class="n">{value}</td>' if value[:1] in "+-0123456789" and value else f"<td>{value}</td>"


def wrap_scrollable(drawn: str, name: str) -> str:
    """Wrap content in a region that scrolls sideways where it is too wide."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escape(name)}">{drawn}</div>'


def render_details(code: str, content: str, is_open: bool) -> str:
    """Render a part that unfolds, headed by its language."""
    return f"<details{' open' if is_open else ''}><summary>{escape(format_language(code))}</summary>{content}</details>"


def render_image(uri: str, name: str, own: bool = False) -> str:
    """Render a thumbnail with its alternative text."""
    return f'<img{" class=own" if own else ""} src="{uri}" alt="{escape(name)}">'


def format_language_attributes(code: str) -> str:
    """Format the HTML attributes for language and direction of captions."""
    direction = load_language(code).direction if code in list_languages() else "auto"
    return f'lang="{escape(code)}" dir="{direction}"'


def escape(value: str) -> str:
    """Escape text for use in HTML; characters that a page would obey instead of showing are written out."""
    return html.escape(escape_unseen(value))
