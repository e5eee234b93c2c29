"""The metadata at the head of a model card, as the Hugging Face hub reads it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polyclip.core.fields import read_fields
from polyclip.core.storage import exists
from polyclip.evaluation.chance import is_telling
from polyclip.report.card_format import (
    format_percent,
)
from polyclip.report.licences import (
    load_licence_table,
    split_towers,
)
from polyclip.report.run_facts import DIRECTIONS, HEADLINE, RunFacts
from polyclip.report.table import format_language


def render_metadata(facts: RunFacts) -> str:
    """Render the YAML that the Hub reads; who publishes the trained weights chooses their licence."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        language=list_iso_codes(facts),
        license="other",
        license_name="see-bill-of-materials",
        license_link="#bill-of-materials",
        library_name="polyclip",
        pipeline_tag="zero-shot-image-classification",
        tags=["polyclip", "clip", "multilingual", "image-text-retrieval", facts.model["method"]],
        datasets=[f"polyclip-{facts.scores[0].benchmark}"],
        base_model=list(list_hub_names(facts.run["recipe"])) or None,
        model_name=facts.folder.resolve().name,
        eval_results=list(list_evaluations(facts)),
    )
    return data.to_yaml()


def list_iso_codes(facts: RunFacts) -> list[str]:
    """List ISO 639 codes of the trained languages, without script and region, which the Hub does not know."""
    return list(dict.fromkeys(code.partition("-")[0] for code in facts.run["languages"]))


def list_hub_names(recipe: dict[str, Any]) -> Iterator[str]:
    """Yield the names on the Hub of the frozen encoders that have one."""
    known = {name: model["hub"] for model in load_licence_table()["models"] for name in model["names"]}
    for tower in [recipe["text_encoder"], *split_towers(recipe["vision_tower"])]:
        kind, _, rest = tower.partition(":")
        name = known.get(kind) or (rest if kind == "huggingface" else tower).partition(",")[0]
        if (
            re.fullmatch(r"[\w.-]+/[\w.-]+", name)
            and kind != "timm"
            and not name.startswith(".")
            and not exists(Path(name))
        ):
            yield name


def list_evaluations(facts: RunFacts) -> Iterator[Any]:
    """Yield the headline scores of every trained language for the Hub's index."""
    from huggingface_hub import EvalResult

    for direction in DIRECTIONS:
        for code, found in facts.get_figures(direction).items():
            for metric in HEADLINE if found["recall@1"].seen else ():
                score = found[metric]
                if not is_telling(score):
                    continue
                yield EvalResult(
                    task_type="retrieval",
                    task_name="image-text retrieval",
                    dataset_type=f"polyclip-{score.benchmark}",
                    dataset_name=f"{score.benchmark}, {score.protocol}, {format_language(code)}",
                    dataset_config=code,
                    dataset_split=score.split,
                    metric_type=f"{direction}_{metric.replace('@', '_at_')}",
                    metric_name=f"{direction.replace('_', ' ')} {metric} [95 % {format_percent(score.low)} to "
                    f"{format_percent(score.high)} %]",
                    metric_value=round(score.value, 4),
                    metric_args={
                        key: round(value, 4)
                        for key, value in read_fields(score, ("low", "high", "chance", "queries", "gallery")).items()
                    },
                )
