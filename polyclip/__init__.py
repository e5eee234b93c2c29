"""polyclip: a CLIP of its own for every language.

>>> import polyclip as pc
>>> model = pc.PolyCLIP.from_pretrained("runs/sw-head-mlp")
>>> model.similarity(model.encode_text("mbwa"), model.encode_image("dog.jpg"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyclip.alignment import AlignResult as AlignResult
    from polyclip.alignment import align as align
    from polyclip.api import compare as compare
    from polyclip.api import doctor as doctor
    from polyclip.api import evaluate as evaluate
    from polyclip.api import export as export
    from polyclip.api import get_language as get_language
    from polyclip.api import list_benchmarks as list_benchmarks
    from polyclip.api import list_languages as list_languages
    from polyclip.api import list_methods as list_methods
    from polyclip.api import translate as translate
    from polyclip.data.corpus import Corpus as Corpus
    from polyclip.errors import AmbiguousName as AmbiguousName
    from polyclip.errors import DataError as DataError
    from polyclip.errors import PackError as PackError
    from polyclip.errors import PolyclipError as PolyclipError
    from polyclip.errors import RunError as RunError
    from polyclip.errors import UnknownName as UnknownName
    from polyclip.errors import WeightsError as WeightsError
    from polyclip.evaluation.results import Result as Result
    from polyclip.evaluation.results import Score as Score
    from polyclip.evaluation.significance import Comparison as Comparison
    from polyclip.models.aligner import PolyCLIP as PolyCLIP
    from polyclip.models.config import ModelConfig as ModelConfig
    from polyclip.models.labels import Prediction as Prediction
    from polyclip.search.index import Changes as Changes
    from polyclip.search.index import Index as Index
    from polyclip.search.results import Hit as Hit
    from polyclip.training.config import OptimizerConfig as OptimizerConfig

__version__ = "0.1.0"

PUBLIC = {  # module of each public name: imported when it is first used, so that `import polyclip` takes no time
    "alignment": "AlignResult align",
    "api": "compare doctor evaluate export get_language list_benchmarks list_languages list_methods translate",
    "data.corpus": "Corpus",
    "errors": "AmbiguousName DataError PackError PolyclipError RunError UnknownName WeightsError",
    "evaluation.results": "Result Score",
    "evaluation.significance": "Comparison",
    "models.aligner": "PolyCLIP",
    "models.config": "ModelConfig",
    "models.labels": "Prediction",
    "search.index": "Changes Hit Index",
    "training.config": "OptimizerConfig",
}
_MODULES = {name: module for module, names in PUBLIC.items() for name in names.split()}

__all__ = sorted([*_MODULES, "__version__", "load"])


def load(name_or_path: Any, revision: str | None = None, **options: Any) -> "PolyCLIP":
    """Load a model: another name of `PolyCLIP.from_pretrained`.

    Args:
        name_or_path: A run folder, or owner/name of a run on the Hugging Face hub.
        revision: Branch, tag or commit on the hub.
        **options: `device`, `dtype` and `cache_dir`, as there.

    Returns:
        The model in eval mode.

    Raises:
        RunError: As `PolyCLIP.from_pretrained` raises, and its other errors.

    Example:
        >>> load("runs/sw-head-mlp", device="cpu")

    """
    from polyclip.models.aligner import PolyCLIP

    return PolyCLIP.from_pretrained(name_or_path, revision=revision, **options)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'polyclip' has no attribute {name!r}")
    found = getattr(import_module(f"polyclip.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Public names, also those that are not imported yet."""
    return sorted({*globals(), *_MODULES})
