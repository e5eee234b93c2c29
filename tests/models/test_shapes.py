"""Models without values have the shapes, the names and the settings of real ones, and nothing is computed for them."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import BertConfig, BertModel

from polyclip.models.shapes import FILLS, build_without_memory, without_values


def build_bert() -> nn.Module:
    return BertModel(BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32))


def build_vit() -> nn.Module:
    return timm.create_model("test_vit", pretrained=False, num_classes=0)


def build_efficientnet() -> nn.Module:
    return timm.create_model("test_efficientnet", pretrained=False, num_classes=0)


BUILDERS = [build_bert, build_vit, build_efficientnet]


@pytest.mark.parametrize("build", BUILDERS)
def test_shapes_are_those_of_the_real_model(build: Callable[[], nn.Module]) -> None:
    real = {name: (value.shape, value.dtype) for name, value in build().state_dict().items()}
    with without_values():
        found = build().state_dict()
    assert {name: (value.shape, value.dtype) for name, value in found.items()} == real
    assert all(value.is_meta for value in found.values())


@pytest.mark.parametrize("build", BUILDERS)
def test_buffers_are_real_where_weights_are_to_come(build: Callable[[], nn.Module]) -> None:
    real, found = build(), build_without_memory(build)
    assert all(parameter.is_meta for parameter in found.parameters())
    assert [name for name, _ in found.named_parameters()] == [name for name, _ in real.named_parameters()]
    wanted = dict(real.named_buffers())
    assert wanted.keys() == dict(found.named_buffers()).keys()
    assert all(torch.equal(value, wanted[name]) for name, value in found.named_buffers())


class Record(TorchFunctionMode):
    """What is done to tensors without values, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.done: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [*args, *(kwargs or {}).values()]
        if func.__name__.strip("_") + "_" == func.__name__ and any(isinstance(t, Tensor) and t.is_meta for t in given):
            self.done.add(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("build", BUILDERS)
def test_no_fill_is_computed(build: Callable[[], nn.Module]) -> None:
    """torch computes each in Python, from parts, to know a shape that stays as it is."""
    with Record() as seen:
        with without_values():
            build()
        build_without_memory(build)
    assert seen.done <= {"requires_grad_"}
    with Record() as seen, torch.device("meta"):
        build()
    assert seen.done & {"normal_", "uniform_"}


def test_what_has_values_is_filled_and_what_is_no_fill_is_done() -> None:
    with without_values():
        real = torch.zeros(2, device="cpu").add_(1)
        shape = nn.Linear(2, 3).weight
        shape.requires_grad_(False)
        grown = torch.empty(2).unsqueeze_(0)
        summed = shape.sum(0)
    assert real.tolist() == [1.0, 1.0]
    assert shape.is_meta and not shape.requires_grad and grown.shape == (1, 2) and summed.shape == (2,)


def test_every_fill_is_a_function_of_torch() -> None:
    assert {name for name in FILLS if not hasattr(Tensor, name) and not hasattr(nn.init, name)} == set()
