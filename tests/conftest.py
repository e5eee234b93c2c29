"""What tests share: an offline hub, the user's own cache left alone, and hand-made corpora and towers."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: one thread each
    os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import pytest
import torch

LONGEST = (
    "end_to_end/test_first_light.py",
    "exports/test_exports.py",
    "test_fewshot.py",
    "test_study.py",
    "end_to_end/test_resume.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes go first, so that no process waits for one of them at the end."""
    folder = Path(__file__).parent
    first = {folder / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture(scope="session", autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights are converted and features computed once for the whole session, all its processes, away from the user's cache."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    os.environ["POLYCLIP_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def same_seed() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
