"""A device that does not exist: tensors "on" it lie on the CPU, and mixing both is an error, as on a GPU.

Meta and fake tensors have no values, so that code which looks at values cannot run on them. Within `pretended()` a
tensor that is made on, or moved to, the device `PRETENDED` is marked, and so is what is computed from it. Its
`device` is the pretended one. An operation on a marked tensor and one that was made on the CPU raises an error, unless
that one is a number or an index; so do `numpy` of a marked tensor, and factories are seen by their device.
"""

from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

PRETENDED = torch.device("xpu:0")
CPU = torch.device("cpu")
MOVES = {Tensor.to, Tensor.copy_, Tensor.type, Tensor.cpu}  # take tensors of both
INDEXES = {Tensor.__getitem__, Tensor.__setitem__}  # of which the indices may lie on the CPU
NUMPY = {Tensor.numpy, Tensor.__array__}
SLOTS: Any = Tensor  # in the class, `device`, `is_cpu` and `data` are descriptors
DEVICE_OF, IS_CPU, SET_DATA = SLOTS.device.__get__, SLOTS.is_cpu.__get__, SLOTS.data.__set__
PARSE_TO = import_module("torch._C")._nn._parse_to


class Mixed(RuntimeError):
    """Tensors of two devices in one operation."""


class _Mode(TorchFunctionMode):
    def of(self, tensor):
        return getattr(tensor, "_pretended", None)

    def mark(self, tensor: Any, device):
        tensor._pretended = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        marks = [self.of(each) for each in tensors]
        if func in (DEVICE_OF, IS_CPU) and marks[0] == PRETENDED:
            return PRETENDED if func == DEVICE_OF else False
        if func in NUMPY and marks[0] == PRETENDED and not kwargs.get("force"):
            raise Mixed("numpy() of a tensor on the device")
        if func in (torch.device, PARSE_TO):
            found = func(*args, **kwargs)
            return (PRETENDED, *list(found)[1:]) if PRETENDED in marks else found
        asked, args, kwargs = self._asked(func, args, kwargs)
        name = getattr(func, "__name__", str(func))
        if asked is None and func not in MOVES and PRETENDED in marks:
            given = tensors[:1] if func in INDEXES else tensors
            for each in given:
                if self.of(each) == CPU and each.dim() > 0:
                    raise Mixed(f"{name} of tensors {[(tuple(t.shape), str(self.of(t))) for t in tensors]}")
        found = func(*args, **kwargs)
        if func is Tensor.cpu:
            asked = CPU
        elif func is Tensor.to and asked is None and len(tensors) == 2:
            asked = marks[1]
        if func == SET_DATA:
            self.mark(args[0], self.of(args[1]))
        if func in (Tensor.to, Tensor.cpu) and found is tensors[0] and asked not in (None, marks[0]):
            found = found.clone()
        if asked is None:
            asked = PRETENDED if PRETENDED in marks else CPU if CPU in marks or not tensors else None
        if func is Tensor.copy_:
            asked = marks[0]
        for each in tree_flatten(found)[0]:
            if isinstance(each, Tensor) and asked is not None:
                self.mark(each, asked)
        return found

    def _asked(self, func, args, kwargs):
        """The device that a call names, and the call with the CPU in its place."""
        asked = None

        def real(value):
            nonlocal asked
            if isinstance(value, str) and value.split(":")[0] == PRETENDED.type:
                value = torch.device(value)
            if isinstance(value, torch.device):
                asked = PRETENDED if value.type == PRETENDED.type else value
                return CPU if asked == PRETENDED else value
            return value

        args, kwargs = tuple(map(real, args)), {name: real(value) for name, value in kwargs.items()}
        return asked, args, kwargs


@contextmanager
def pretended():
    """A context in which `PRETENDED` is a device; yield the function that says where a tensor is, None if unknown."""
    mode = _Mode()
    with mode:
        yield mode.of
