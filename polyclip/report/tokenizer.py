"""A tokenizer check-up as text: one language in full, several as a table, all as JSON."""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from polyclip.core.terminal import make_text
from polyclip.evaluation.tokenizer.findings import (
    Checkup,
    Closeness,
    EmbeddingStats,
    Finding,
    LanguageFindings,
    LostCharacter,
    RecallInterval,
    TokenStats,
)
from polyclip.evaluation.tokenizer.verdict import (
    ADAPTERS,
    HEADS,
    METHODS,
    NO_LANGUAGE,
    NO_SCRIPT,
    NORMS,
    THRESHOLDS,
    UNSURE,
)
from polyclip.languages.schema import get_lang_option

SHORT = {
    HEADS: "heads",
    NORMS: "LayerNorm",
    ADAPTERS: "adapters",
    NO_LANGUAGE: "no language",
    NO_SCRIPT: "no script",
    UNSURE: "cannot say",
}
DEAR = 2.5  # times the tokens of English: Telugu has 1.9, Yoruba 2.7, Shan 3.9
ALIKE = 0.95  # mean cosine of unrelated captions from which little tells them apart
WHOLE = 80  # columns
ESTIMATE = "An estimate from captions alone, where to begin: 'polyclip align --method auto' measures it with images."
ADVICE = {
    NO_LANGUAGE: "Another text encoder that knows it, or much parallel text in it, is needed; heads and adapters on "
    "a corpus of this size will not teach it.",
    NO_SCRIPT: "Write it in a script that the tokenizer knows, or take a text encoder that has this one: nothing "
    "trained above the tokenizer brings it back.",
    UNSURE: "Give --corpus a pack whose images are named in English too, or let 'polyclip align --method auto' try.",
}


def build_report(checkup: Checkup) -> list[RenderableType]:
    """Build what is printed: findings, then one language in full or a table of several, then the thresholds."""
    whole = (
        describe_language(checkup, checkup.languages[0])
        if len(checkup.languages) == 1
        else [build_overview(checkup), format_legend(checkup)]
    )
    return [*format_findings(checkup.findings), *whole, build_threshold_table()]


def format_json(checkup: Checkup) -> str:
    """Format the check-up as JSON (schema 1)."""
    whole = {
        "schema": 1,
        **asdict(checkup),
        "defects": len(checkup.defects),
        "thresholds": [asdict(threshold) for threshold in THRESHOLDS],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False)


def format_findings(found: Sequence[Finding]) -> list[RenderableType]:
    """Format findings, defects before weaknesses."""
    return [
        make_text(
            f"{'DEFECT' if finding.defect else 'note'}: {finding.sentence}", style="red" if finding.defect else "yellow"
        )
        for finding in sorted(found, key=lambda finding: not finding.defect)
    ]


def describe_language(checkup: Checkup, one: LanguageFindings) -> list[RenderableType]:
    """Describe one language in full."""
    title = make_text(f"{one.name} ({one.code}, {one.script}), read by {checkup.text_encoder}", style="bold")
    about = make_text(f"{one.tokens.captions:,} captions of corpus {checkup.corpus}, split {checkup.split}\n")
    return [
        title,
        about,
        *describe_verdict(one),
        build_section("tokenizer", list_tokenizer_lines(checkup, one.tokens)),
        *build_encoder_tables(one),
    ]


def describe_verdict(one: LanguageFindings) -> list[RenderableType]:
    """Describe the verdict, its reason, the command to run, and the language pack's own recipe."""
    found = one.verdict
    lines = [make_text(f"verdict: {found.label}", style="bold"), make_text(to_sentence(found.reason))]
    if found.doubt:
        lines.append(make_text(to_sentence(found.doubt)))
    if found.method:
        lines.append(
            make_text(
                f"try: polyclip align --lang {get_lang_option(one.code)} --method {found.method}", overflow="fold"
            )
        )
    else:
        lines.append(make_text(ADVICE[found.label]))
    lines.append(make_text(f"The language pack's own recipe: {one.recipe}.{f' {ESTIMATE}' if found.method else ''}"))
    return [Text.assemble(*[part for line in lines for part in (line, "\n")])]


def to_sentence(text: str) -> str:
    """Capitalize the first letter and end with one full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def build_section(title: str, lines: Iterable[tuple[str, str, str]]) -> Table:
    """Build a table of measurement, value and meaning."""
    drawn = Table(title, "", "what it means", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), width=WHOLE)
    drawn.columns[0].width = 19
    drawn.columns[1].no_wrap = True
    for line in lines:
        drawn.add_row(*line)
    return drawn


def list_tokenizer_lines(checkup: Checkup, tokens: TokenStats) -> list[tuple[str, str, str]]:
    """List the rows of the table `tokenizer`."""
    frame = checkup.frame
    limit = "no limit" if frame.limit is None else f"{frame.limit:,}"
    filled = {
        "none": "rows have one length",
        "left": f"on the left, id {frame.pad}",
        "right": f"on the right, id {frame.pad}",
    }
    return [
        (f"tokens a {tokens.unit}", f"{tokens.fertility:.2f}", describe_fertility(tokens)),
        (
            "unknown pieces",
            format_percent(tokens.unknown_tokens),
            f"in {format_percent(tokens.unknown_captions)} of the captions",
        ),
        (
            "single bytes",
            "-" if tokens.byte_tokens is None else format_percent(tokens.byte_tokens),
            describe_bytes(tokens),
        ),
        (
            "longest caption",
            f"{tokens.longest:,} tokens",
            f"room for {limit}; {format_percent(tokens.truncated)} of the captions are cut",
        ),
        (
            "around captions",
            f"{frame.start_text} … {frame.end_text}",
            "special tokens and prefix" if frame.start or frame.end else "no special tokens, no prefix",
        ),
        ("filled up", filled[frame.side], "what makes rows of one length"),
        (
            "captions changed",
            format_percent(tokens.lost_captions),
            list_lost("lost", tokens.lost) or "every character comes back from its tokens",
        ),
        (
            "rewritten",
            f"{sum(lost.times for lost in tokens.rewritten):,} signs",
            list_lost("by its normalisation", tokens.rewritten) or "its normalisation keeps all",
        ),
        ("pieces of one word", "-" if checkup.twins is None else f"{checkup.twins:.3f}", describe_twins(checkup)),
    ]


def describe_fertility(tokens: TokenStats) -> str:
    """Describe the number of tokens compared with English."""
    if tokens.relative is None:
        return "no English names to compare with"
    dear = ": words fall into pieces, so each piece says little" if tokens.relative > DEAR else ""
    return f"{tokens.relative:.2f} times English for the same concepts' names{dear}"


def describe_bytes(tokens: TokenStats) -> str:
    """Describe whether letters are split into bytes."""
    if tokens.byte_tokens is None:
        return "this tokenizer has none: what it does not know is <unk>"
    return "of the pieces are no whole character"


def describe_twins(checkup: Checkup) -> str:
    """Describe whether the embedding matrix belongs to this tokenizer."""
    if checkup.twins is None:
        return "too few pieces like cat, Cat, cats to compare"
    return "cat, Cat, cats are alike in the embedding matrix (a wrong one: 0.5)"


def list_lost(how: str, lost: Sequence[LostCharacter]) -> str:
    """List lost characters, such as `lost: ӗ U+04D7 x 812, ...`."""
    signs = ", ".join(f"{show_character(one.character)} {one.code} x {one.times:,}" for one in lost)
    return f"{how}: {signs}, as in {lost[0].caption!r}" if lost else ""


def show_character(character: str) -> str:
    """Show a combining mark on a circle, and nothing for invisible characters."""
    kind = unicodedata.category(character)
    return f"\u25cc{character}" if kind.startswith("M") else "" if kind.startswith(("C", "Z")) else character


def build_encoder_tables(one: LanguageFindings) -> list[RenderableType]:
    """Build tables of the embeddings and of closeness, where the encoder could be run."""
    drawn: list[RenderableType] = []
    if one.vectors is not None:
        drawn.append(build_section("encoder", list_embedding_lines(one.vectors, one.closeness)))
    if one.closeness is not None:
        drawn.append(build_section("how close it is", list_closeness_lines(one.code, one.closeness)))
    return drawn


def list_embedding_lines(found: EmbeddingStats, close: Closeness | None) -> list[tuple[str, str, str]]:
    """List the rows of the table `encoder`."""
    lines = [
        (
            "alone or in a batch",
            f"{found.batch_distance:.1g}",
            f"largest cosine distance, {found.captions} captions of all lengths",
        ),
        (
            "embedding length",
            f"{found.shortest:.3g} to {found.longest:.3g}",
            "not normalised by the encoder: compare by cosine" if not is_unit(found) else "1",
        ),
        ("spread", f"{found.spread:.2g}", "cosine distance from the mean direction; 0: the same embedding for all"),
    ]
    if close is not None:
        crowded = ": hardly told apart" if close.unrelated > ALIKE else ""
        lines.append(
            (
                "unrelated captions",
                f"{close.unrelated:.3f} ± {close.unrelated_deviation:.3f}",
                f"mean cosine and its deviation{crowded}",
            )
        )
        lines.append(
            (f"own name in {close.pivot}", f"{close.related:.3f}", f"mean cosine; with other names {close.across:.3f}")
        )
    return lines


def is_unit(found: EmbeddingStats) -> bool:
    """Whether embeddings have length 1."""
    return max(abs(found.shortest - 1), abs(found.longest - 1)) < 1e-3


def list_closeness_lines(code: str, close: Closeness) -> list[tuple[str, str, str]]:
    """List the rows of the table `how close it is`."""
    asked = f"of {close.asked} names find their own first among {close.pool}"
    return [
        (f"{code} -> {close.pivot}", format_interval(close.to_pivot), asked),
        (f"{close.pivot} -> {code}", format_interval(close.from_pivot), "the other way round"),
        (
            "both",
            format_interval(close.mean),
            f"decides; chance {format_percent(close.chance)}; 95 %, concept groups redrawn",
        ),
        ("spelled alike", format_percent(close.same), f"of the names are the same in {close.pivot}: not asked"),
    ]


def format_interval(found: RecallInterval) -> str:
    """Format a recall as `34.6 % [30, 40]`."""
    return f"{format_percent(found.value)} [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def format_percent(share: float) -> str:
    """Format a fraction in percent with one decimal; small values are `< 0.1 %`, not zero."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def build_overview(checkup: Checkup) -> Table:
    """Build a table with one row per language; fits 80 columns."""
    drawn = Table(
        title=f"{checkup.text_encoder} on the captions of corpus {checkup.corpus}, split {checkup.split}",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=0,
    )
    drawn.add_column("language", no_wrap=True, max_width=17)
    for heading in ("token", "x en", "unk %", "to/fro", "recall@1"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for heading in ("verdict", "pack"):
        drawn.add_column(heading, no_wrap=True)
    for one in checkup.languages:
        drawn.add_row(*format_cells(one))
    return drawn


def format_cells(one: LanguageFindings) -> tuple[str, ...]:
    """Format the cells of one language's row."""
    tokens, close = one.tokens, one.closeness
    return (
        f"{one.code} {one.name}",
        f"{tokens.fertility:.1f}/{tokens.unit[0]}",
        "-" if tokens.relative is None else f"{tokens.relative:.1f}",
        f"{100 * tokens.unknown_captions:.0f}",
        "-" if close is None else f"{100 * close.to_pivot.value:.0f}/{100 * close.from_pivot.value:.0f}",
        "-"
        if close is None
        else f"{100 * close.mean.value:.0f} [{100 * close.mean.low:.0f}, {100 * close.mean.high:.0f}]",
        SHORT[one.verdict.label] + (" ?" if one.verdict.doubt else ""),
        one.recipe,
    )


def format_legend(checkup: Checkup) -> Text:
    """Format what the columns and verdicts of the overview mean."""
    close = [one.closeness for one in checkup.languages if one.closeness is not None]
    pools = sorted({found.pool for found in close})
    pool = f"{pools[0]} to {pools[-1]} names" if len(pools) > 1 else f"{pools[0]} names" if pools else "no names"
    chance = f", chance {format_percent(max(found.chance for found in close))}" if close else ""
    methods = "; ".join(f"{SHORT[label]}: {method}" for label, method in METHODS.items() if method)
    return make_text(
        "token: a word (w) or character (c); x en: tokens of names, times English; unk %: captions with an unknown "
        "piece; "
        "to/fro: recall@1 from names to those of the same concept in English (for English: in another) and back, "
        f"among {pool}{chance}; recall@1: both ways, "
        "[95 % interval]; verdict ?: the interval allows another, or the pool is small; pack: the language pack's "
        "own recipe.\n"
        f"Verdicts: {methods}; {SHORT[NO_LANGUAGE]}, {SHORT[NO_SCRIPT]}: none, --lang CODE alone says what to do. "
        f"{ESTIMATE}\n"
    )


def build_threshold_table() -> Table:
    """Build a table of the thresholds of the verdicts and their reasons."""
    drawn = Table("verdict from", "", "why", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), width=WHOLE)
    for threshold in THRESHOLDS:
        drawn.add_row(threshold.of, f"{100 * threshold.value:.0f} %", threshold.reason)
    return drawn
