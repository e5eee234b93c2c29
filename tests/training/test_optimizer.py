"""The optimizer in parts that are stepped side by side, against the whole one."""

import copy
import math

import torch
from torch import nn

from polyclip.training.optimizer import AdamW, measure_norm, step_part


def make_optimizer(layers: nn.ModuleList) -> AdamW:
    """Biases without decay, and at another rate."""
    named = list(layers.named_parameters())
    groups = [
        {"params": [p for name, p in named if ("bias" in name) == bias], "lr": rate, "weight_decay": decay}
        for bias, rate, decay in ((False, 0.1, 0.2), (True, 0.05, 0.0))
    ]
    return AdamW(groups, betas=(0.9, 0.98), eps=1e-6, fused=True)


def test_parts_step_as_the_whole_does_and_fill_its_state() -> None:
    whole = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)])
    parted = copy.deepcopy(whole)
    one, other = make_optimizer(whole), make_optimizer(parted)
    parts = other.split([layer.parameters() for layer in parted[:2]])  # the third layer is in none
    assert [sum(len(group["params"]) for group in part.param_groups) for part in parts] == [2, 2, 2]
    limit = 0.1
    for step in range(3):
        for optimizer in (one, other):
            for group, rate in zip(optimizer.param_groups, (0.1, 0.05), strict=True):
                group["lr"] = rate / (1 + step)  # a schedule sets it on the whole optimizer
        for mine, yours in zip(whole.parameters(), parted.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            yours.grad = mine.grad.clone()
        norm = math.hypot(*map(measure_norm, parts))
        assert abs(norm - nn.utils.clip_grad_norm_(whole.parameters(), limit)) < 1e-5 * norm and norm > limit
        one.step()
        for part in parts:
            step_part(part, torch.tensor(norm / limit))
        for mine, yours in zip(whole.parameters(), parted.parameters(), strict=True):
            torch.testing.assert_close(yours, mine, rtol=1e-5, atol=1e-6)
    mine, yours = (optimizer.state_dict()["state"] for optimizer in (one, other))
    assert mine.keys() == yours.keys() and all(yours[number]["step"] == 3 for number in yours)
    torch.testing.assert_close(yours, mine, rtol=1e-4, atol=1e-7)


def test_a_part_with_nothing_to_train_is_left_out() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2)])
    parts = make_optimizer(layers).split([layers[0].parameters(), []])
    assert [len(part.param_groups) for part in parts] == [2]
