"""Zero-shot classification: prompts for labels, and the predicted label of an image."""

from collections.abc import Sequence
from dataclasses import dataclass

from polyclip.errors import DataError
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import NEUTRAL


@dataclass(frozen=True)
class Prediction:
    """Predicted label of an image.

    Attributes:
        label: The label with the highest probability; of equals the one named first.
        probability: In [0, 1].
        scores: The probability of every label; they add up to 1.

    """

    label: str
    probability: float
    scores: dict[str, float]


def fill_prompts(labels: Sequence[str], language: str | None, templates: Sequence[str] | None) -> list[list[str]]:
    """Fill each label into all prompts.

    Args:
        labels: Two or more different names.
        language: Whose pack has the prompts; without one the bare label is used.
        templates: Prompts in place of the pack's.

    Returns:
        A list of texts for each label, all of the same length.

    Raises:
        DataError: Fewer than two labels, one that is there twice, or a template without exactly one gap.
        UnknownName: There is no pack for the language.

    """
    if isinstance(labels, str) or len(labels) < 2 or len(set(labels)) < len(labels):
        raise DataError(f"Expected two or more different labels, found {labels!r}.")
    packs = [resolve_language(language)] if language else []
    prompts = list(templates) if templates is not None else [prompt for pack in packs for prompt in pack.prompts]
    wrong = [prompt for prompt in prompts if prompt.count("{}") != 1]
    if wrong or (templates is not None and not prompts):
        raise DataError(f"Expected templates with one {{}} each, found {repr(wrong[0]) if wrong else 'none'}.")
    return [[prompt.replace("{}", label) for prompt in prompts or [NEUTRAL]] for label in labels]


def prediction_of(labels: Sequence[str], probabilities: Sequence[float]) -> Prediction:
    """Make the prediction from the probabilities of all labels."""
    scores = dict(zip(labels, probabilities, strict=True))
    best = max(scores, key=lambda label: scores[label])
    return Prediction(best, scores[best], scores)
