"""Networks without first weights, for those that a file gives theirs."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Unfilled(TorchFunctionMode):
    """A context in which new networks allocate their weights but draw none, which for VGG-16 takes seconds.

    What ``torch.randn`` and ``torch.nn.init`` would fill then holds anything, and has to be replaced. The
    default random generator stays as it is.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Allocate in place of filling; any other function does what it always does."""
        kwargs = kwargs or {}
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
