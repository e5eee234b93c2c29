"""The tiny models, made once; what they were made of is in tiny.py."""

from pathlib import Path

import pytest
import torch

from tests.translation.engines.tiny import WRITERS


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each engine, each a model with random weights that has learnt a few phrases by heart."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    return {engine: write(folder / engine) for engine, write in WRITERS.items()}
