"""What tests share: an offline hub, the user's own cache left alone, and hand-made corpora and towers."""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["POLYCLIP_ENCODE_PRECISION"] = "fp32"  # for comparisons; test_encode_precision.py has the others
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: one thread each
    os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import pytest

from tests import type_checks

type_checks.install()  # before polyclip is imported
LONGEST = (  # the first one fills the cache with captions that others need: those that need none run beside it
    "end_to_end/test_first_light.py",
    "end_to_end/test_several.py",
    "end_to_end/test_resume.py",
    "training/test_auto.py",
    "exporters/test_exports.py",  # when the first one is done, whose class names it reads
    "models/test_cut.py",
    "studies/test_study.py",
    "studies/test_fewshot.py",
    "exporters/test_product.py",  # after test_exports.py, whose features it reads
)
SLOW = (  # files and folders that `make test-fast` leaves out; all others together take less than a minute on two cores
    "cli/test_options.py",
    "cli/test_terminal.py",
    "data/test_pairs.py",
    "data/test_shards.py",
    "end_to_end",
    "evaluation/benchmarks/test_layouts.py",
    "evaluation/benchmarks/test_scores.py",
    "evaluation/test_forgetting.py",
    "evaluation/test_leakage.py",
    "evaluation/test_tokenizer.py",
    "evaluation/test_zeroshot.py",
    "exporters",
    "faults",
    "fuzz",
    "languages/test_normalize.py",
    "languages/test_packs.py",
    "models/test_closed_form.py",
    "models/test_cut.py",
    "models/test_e5_small.py",
    "models/test_encode_precision.py",
    "models/test_methods.py",
    "models/test_packed_bert.py",
    "models/test_rounded_convolutions.py",
    "models/test_structure.py",
    "models/test_text_adapter.py",
    "models/test_vision.py",
    "models/test_vocabulary.py",
    "report/test_cards.py",
    "search",
    "speed",
    "studies",
    "test_contributing.py",
    "test_docs.py",
    "test_project.py",
    "training",
    "translation",
)


def is_slow(path: Path) -> bool:
    """Whether a test file is one of SLOW, or lies in one."""
    return any(path.is_relative_to(Path(__file__).parent / name) for name in SLOW)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One file runs in this process: a worker would run it alone too, and take seconds to start."""
    files = {Path(argument.split("::")[0]) for argument in config.args}
    return 0 if len(files) == 1 and files.pop().is_file() else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m "not slow"` slow files are not even imported."""
    return True if config.getoption("markexpr") == "not slow" and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow files; those that take minutes go first, so that no process waits for one of them at the end."""
    folder = Path(__file__).parent
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)
    first = {folder / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture(scope="session", autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights are converted and features computed once for the whole session, all its processes, away from the
    user's cache.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    os.environ["POLYCLIP_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def same_seed() -> None:
    """Every test starts from the same random state; where torch was never imported there is none."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def warm_cache(own_cache: Path, one_cache: Path) -> Path:
    """An empty cache for one test, but for the converted weights, which are the session's: converting takes seconds."""
    for folder in (own_cache, one_cache / "weights"):
        folder.mkdir(exist_ok=True)
    (own_cache / "weights").symlink_to(one_cache / "weights")
    return own_cache
