"""From measurements to a recommended method.

The thresholds were set on e5-small and 27 languages of the starter corpus, 400 names each; they say where to begin, and
do not measure what a method gains.
"""

from dataclasses import dataclass

from polyclip.evaluation.tokenizer.findings import Closeness, TokenStats, Verdict

HEADS = "heads are enough"
NORMS = "tune LayerNorm"
ADAPTERS = "adapters in the early blocks"
NO_LANGUAGE = "the encoder does not know this language"
NO_SCRIPT = "the encoder does not know this script"
UNSURE = "cannot say"
METHODS = {
    HEADS: "head-mlp",
    NORMS: "lilt-ln",
    ADAPTERS: "lilt-lwa --train-towers text --text-layers :4",
    NO_LANGUAGE: "",
    NO_SCRIPT: "",
    UNSURE: "",
}

POOL = 400  # names on each side when the thresholds were set; recall@1 is easier among fewer
KNOWN = 0.5
FAMILIAR = 1 / 3
FOREIGN = 0.1
SCRIPT = 0.5


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lower bound of a verdict, and the reason for it."""

    of: str
    value: float
    reason: str


THRESHOLDS = (
    Threshold(
        HEADS, KNOWN, "recall@1: most names find theirs, as in Hindi (68 %), German (64), Telugu (58), Chinese (53)"
    ),
    Threshold(NORMS, FAMILIAR, "recall@1: one name in three does, as in Amharic (48 %), Finnish (43), Swahili (36)"),
    Threshold(
        ADAPTERS,
        FOREIGN,
        "recall@1: a script without one known letter gets 4 % by digits and loanwords (Cherokee); Quechua has 26, "
        "Māori 15",
    ),
    Threshold(
        NO_SCRIPT,
        SCRIPT,
        "captions with an unknown piece, if still fewer names are found: Cherokee has 98 %; Chuvash, which is read, 26",
    ),
)


def choose_label(recall: float, script: bool) -> str:
    """Choose the verdict by recall@1; `script` means that most captions have pieces unknown to the tokenizer."""
    if recall >= KNOWN:
        return HEADS
    if recall >= FAMILIAR:
        return NORMS
    if recall >= FOREIGN:
        return ADAPTERS
    return NO_SCRIPT if script else NO_LANGUAGE


def decide_verdict(tokens: TokenStats, close: Closeness | None, pivot: bool) -> Verdict:
    """Decide the recommended method for one language.

    Args:
        tokens: Token statistics of the language.
        close: Closeness to its pivot; None where there is nothing to compare with.
        pivot: Whether the language is English itself, compared with another language.

    Returns:
        The verdict with its reason.

    """
    script = max(tokens.unknown_captions, tokens.byte_tokens or 0.0) > SCRIPT
    if close is None:
        label = NO_SCRIPT if script else UNSURE
        return Verdict(label=label, method="", reason=explain_without_parallel(tokens, script), doubt="")
    label = choose_label(close.mean.value, script)
    told = f"{100 * close.mean.value:.0f} % of its names find their own among {close.pool}"
    if pivot and label != HEADS:
        reason = f"{told} in {close.pivot!r}, which does not tell which of the two the encoder does not know."
        return Verdict(label=UNSURE, method="", reason=reason, doubt="")
    return Verdict(
        label=label,
        method=METHODS[label],
        reason=f"{told}; {explain_label(label, tokens)}.",
        doubt=describe_doubt(close, label, script),
    )


def explain_without_parallel(tokens: TokenStats, script: bool) -> str:
    """Explain what the tokenizer alone says."""
    if script:
        return f"{100 * tokens.unknown_captions:.0f} % of its captions hold a piece that the tokenizer does not know."
    return (
        "The corpus has too few names of the same concepts in English to compare with; the tokenizer alone shows "
        "no obstacle."
    )


def explain_label(label: str, tokens: TokenStats) -> str:
    """Explain in words which threshold decided."""
    return {
        HEADS: "most of them, so the frozen encoder says enough",
        NORMS: "more than one in three but not most: the language is known, if not well",
        ADAPTERS: "fewer than one in three, yet more than digits and loanwords explain",
        NO_LANGUAGE: f"fewer than one in ten, although only {100 * tokens.unknown_captions:.0f} % of its captions "
        "hold an unknown piece",
        NO_SCRIPT: f"{100 * tokens.unknown_captions:.0f} % of its captions hold a piece that the tokenizer does not "
        "know",
    }[label]


def describe_doubt(close: Closeness, label: str, script: bool) -> str:
    """Describe other verdicts that the interval allows, and a gallery that is too small."""
    others = {choose_label(bound, script) for bound in (close.mean.low, close.mean.high)} - {label}
    said = [f"a close call: the 95 % interval also allows {' or '.join(map(repr, sorted(others)))}"] if others else []
    if close.pool < POOL:
        said.append(f"the pool of {close.pool} is easier than the {POOL} that the thresholds were set on")
    return "; ".join(said)
