"""The optimizer of all phases."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


class AdamW(torch.optim.AdamW):
    """torch's AdamW without what guards it from torch's compiler, whose import takes a second: nothing is compiled."""

    grad_scale: Tensor | None = None  # by which a fused step divides gradients
    sources: Sequence[dict[str, Any]] = ()  # groups that set the learning rates of a part

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)

    def split(self, parts: Sequence[Iterable[nn.Parameter]]) -> list["AdamW"]:
        """Divide the parameters among optimizers that share this one's state, to be stepped side by side.

        Args:
            parts: Parameters of each but the last, which gets those that are in none.

        Returns:
            One more than `parts`; one that has nothing to train is left out.

        """
        place = {id(parameter): number for number, part in enumerate(parts) for parameter in part}
        found = []
        for number in range(len(parts) + 1):
            groups = [
                (group, own)
                for group in self.param_groups
                if (own := [p for p in group["params"] if place.get(id(p), len(parts)) == number])
            ]
            if groups:
                part = AdamW([group | {"params": own} for group, own in groups])
                part.state, part.sources = self.state, [group for group, _ in groups]
                found.append(part)
        return found


def measure_norm(optimizer: torch.optim.Optimizer) -> float:
    """Norm of all gradients of an optimizer's parameters."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return float(get_total_norm(gradients))


def step_part(optimizer: AdamW, divisor: Tensor) -> None:
    """Make a step with gradients divided by `divisor`."""
    for group, source in zip(optimizer.param_groups, optimizer.sources, strict=True):
        group["lr"] = source["lr"]
    optimizer.grad_scale = divisor
    optimizer.step()
