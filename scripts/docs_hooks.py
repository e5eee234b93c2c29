"""Hooks of mkdocs: reference pages that follow from the code are made when the site is built."""

import importlib.util
from pathlib import Path
from types import ModuleType

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import polyclip

HERE = Path(__file__).parent
API = """# Python API

Generated from the docstrings when the site is built. Everything here is public and stays under the rules of
[semantic versioning](https://semver.org); everything that is not here is private.
"""


def load_script(name: str) -> ModuleType:
    """Import one of the scripts beside this file."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_api_page() -> str:
    """One entry for each name of `polyclip.__all__`, classes first."""
    names = sorted(
        (name for name in polyclip.__all__ if not name.startswith("_")), key=lambda name: (name.islower(), name)
    )
    return "\n".join([API, *(f"::: polyclip.{name}\n" for name in names)])


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
