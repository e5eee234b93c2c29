"""The optimizer of all phases."""

import inspect

import torch


class AdamW(torch.optim.AdamW):
    """torch's AdamW without what guards it from torch's compiler, whose import takes a second: nothing is compiled."""

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
