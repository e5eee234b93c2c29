"""Hooks of mkdocs: reference pages that follow from the code are made when the site is built."""

import importlib.util
from pathlib import Path
from types import ModuleType

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import polyclip

HERE = Path(__file__).parent
API = """# Python API

Generated from the docstrings when the site is built. What is listed here is public; everything else is private
and may change without notice. `import polyclip` imports nothing else until a name is used.
"""
SECTIONS = {  # names in the order in which they are met; public names that are missing here come last
    "Models": "PolyCLIP load ModelConfig Prediction",
    "Training": "align AlignResult OptimizerConfig",
    "Evaluation": "evaluate Result Score compare Comparison",
    "Search": "Index Hit Changes",
    "Corpora and languages": "Corpus translate doctor get_language",
    "Export": "export",
    "What there is": "list_methods list_benchmarks list_languages",
    "Errors": "PolyclipError DataError PackError RunError WeightsError UnknownName AmbiguousName",
}


def load_script(name: str) -> ModuleType:
    """Import one of the scripts beside this file."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_api_page() -> str:
    """One entry for each name of `polyclip.__all__`."""
    public = {name for name in polyclip.__all__ if not name.startswith("_")}
    placed = {title: [name for name in names.split() if name in public] for title, names in SECTIONS.items()}
    placed["Other"] = sorted(public.difference(*placed.values()))
    parts = [API]
    for title, names in placed.items():
        parts += [f"## {title}\n", *(f"::: polyclip.{name}\n" for name in names)] if names else []
    return "\n".join(parts)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of docs/."""
    pages = {
        "commands": load_script("build_cli_pages").page(),
        "languages": load_script("build_languages_page").page(),
        "api": build_api_page(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files
