"""A simulated GPU: it computes on the CPU and refuses whatever would make the host wait for a real one.

Tensors of the device are `DeviceTensor`s. To Python they are on cuda:0. To torch's C++ code they are on `meta`, which
needs no driver and whose gradients are computed in the calling thread. All other tensors, such as random numbers drawn
on the CPU, are ordinary CPU tensors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda:0")
META = torch.device("meta")
CPU = torch.device("cpu")
STAGED_BYTES = 64 * 1024  # CUDA copies up to this size from pageable memory without a wait for the device

aten = torch.ops.aten
# Their results are on the host, or their shapes depend on values.
READING_VALUES = {
    aten._local_scalar_dense,
    aten._unique2,
    aten.bincount,
    aten.equal,
    aten.is_nonzero,
    aten.masked_select,
    aten.nonzero,
    aten.repeat_interleave,
    aten.unique_consecutive,
    aten.unique_dim,
}
FROM_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}  # each number is copied to the device


class DeviceWaited(AssertionError):
    """The host would have waited for the device."""


class DeviceTensor(Tensor):
    """A tensor on the simulated device, with its values in the CPU tensor `on_host`."""

    on_host: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @staticmethod
    def __new__(cls, values: Tensor) -> "DeviceTensor":
        tensor = Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls, values.shape, values.stride(), values.storage_offset(), dtype=values.dtype, device=META
        )
        tensor.on_host = values
        return tensor

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return DEVICE

    @property
    def is_cuda(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True

    def tolist(self) -> Any:
        return self.cpu().tolist()  # torch's own is for plain tensors

    def __repr__(self, **_: Any) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"DeviceTensor({self.cpu()})"

    def __format__(self, spec: str) -> str:
        return format(self.cpu(), spec)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, strict=False)


class SimulatedDevice:
    """A context in which cuda:0 exists."""

    def __init__(self) -> None:
        self.strict = False

    def __enter__(self) -> "SimulatedDevice":
        self.modes = _Functions(self), _Operators(self)
        for mode in self.modes:
            mode.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        for mode in reversed(self.modes):
            mode.__exit__(*exception)

    @contextmanager
    def forbid_waiting(self) -> Iterator[None]:
        """Raise DeviceWaited where the host would wait for the device."""
        self.strict = True
        try:
            yield
        finally:
            self.strict = False


class _Functions(TorchFunctionMode):
    """Torch's Python functions: cuda:0 becomes `meta` before torch looks for a driver."""

    def __init__(self, device: SimulatedDevice) -> None:
        super().__init__()
        self.simulated = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.pin_memory:
            pinned = args[0].clone()
            pinned.is_pinned_here = True
            return pinned
        on_device = any(map(_is_device, (*args, *kwargs.values())))
        if func in FROM_NUMBERS and (on_device or (func is Tensor.new_tensor and isinstance(args[0], DeviceTensor))):
            _refuse(self.simulated.strict, f"{func.__name__} copies numbers to the device")
            kwargs = {name: value for name, value in kwargs.items() if name != "device"}
            return DeviceTensor(func(*args, **kwargs))
        if on_device:
            args = [META if _is_device(value) else value for value in args]
            kwargs = {name: META if _is_device(value) else value for name, value in kwargs.items()}
        return func(*args, **kwargs)


class _Operators(TorchDispatchMode):
    """Torch's operators."""

    def __init__(self, device: SimulatedDevice) -> None:
        super().__init__()
        self.simulated = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self.simulated.strict)


def _is_device(value: Any) -> bool:
    return (isinstance(value, torch.device) and value.type == "cuda") or (
        isinstance(value, str) and value.startswith("cuda")
    )


def _refuse(strict: bool, reason: str) -> None:
    if strict:
        raise DeviceWaited(reason)


def _run(func: Any, args: Any, kwargs: dict[str, Any], strict: bool) -> Any:
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    on_device = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
    if strict and on_device:
        _check(func, args, on_device, [tensor for tensor in tensors if not isinstance(tensor, DeviceTensor)])
    target = kwargs.get("device")
    if not on_device and target != META:
        return func(*args, **kwargs)
    if strict and func.overloadpacket is aten._to_copy and target is not None:
        _check_copy(args[0], target != CPU, kwargs.get("non_blocking", False))
    if strict and func.overloadpacket is aten.copy_:
        _check_copy(args[1], isinstance(args[0], DeviceTensor), args[2] if len(args) > 2 else False)

    host_args, host_kwargs = tree_map(_on_host, (args, kwargs))
    result = func(*host_args, **host_kwargs)
    if torch.Tag.inplace_view in func.tags:
        with no_dispatch():
            func(*args, **kwargs)  # the shape of the DeviceTensor
    return result if target == CPU else _wrap_results(func, args, kwargs, result)


def _on_host(value: Any) -> Any:
    if isinstance(value, DeviceTensor):
        return value.on_host
    return CPU if isinstance(value, torch.device) and value == META else value


def _wrap_results(func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> Any:
    """The results as DeviceTensors; an argument that was written to is returned itself."""
    written = {
        id(tensor.on_host): tensor
        for tensor in tree_leaves((args, kwargs))
        if isinstance(tensor, DeviceTensor) and func._schema.is_mutable
    }

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, DeviceTensor):
            return value
        return written[id(value)] if id(value) in written else DeviceTensor(value)

    return tree_map(wrap, result)


def _check(func: Any, args: Any, on_device: list[DeviceTensor], on_host: list[Tensor]) -> None:
    packet = func.overloadpacket
    if packet in READING_VALUES:
        raise DeviceWaited(f"{func} reads values of the device")
    if packet in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
        indices = [index for index in args[1] if index is not None]
        if any(not isinstance(index, DeviceTensor) for index in indices):
            raise DeviceWaited(f"{func} copies indices to the device")
        is_mask = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
        is_masked_fill = packet is not aten.index and args[2].numel() == 1
        if is_mask and not is_masked_fill:
            raise DeviceWaited(f"{func} with a mask counts its elements")
        return
    if packet not in (aten.copy_, aten._to_copy) and any(tensor.ndim for tensor in on_host):
        raise DeviceWaited(f"{func} mixes tensors of the device and of the host")


def _check_copy(source: Tensor, to_device: bool, non_blocking: bool) -> None:
    if isinstance(source, DeviceTensor) == to_device:
        return
    if not non_blocking:
        raise DeviceWaited("a blocking copy between host and device")
    is_pinned = getattr(source, "is_pinned_here", False)
    if to_device and not is_pinned and source.nbytes > STAGED_BYTES:
        raise DeviceWaited(f"a copy of {source.nbytes:,} bytes from memory that is not pinned")
