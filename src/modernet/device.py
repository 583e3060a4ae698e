"""Which device a run is on."""

import torch

from modernet.errors import UserError


def pick_device(name: str, local: int = 0) -> torch.device:
    """`auto` is the GPU if there is one, of several the one with number `local`.

    Raises UserError for a name that torch does not know or the machine lacks.
    """
    if name == "auto":
        name = str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    if name == "cuda":
        name = f"cuda:{local}"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"device={name} cannot be used ({reason}); allowed: auto, cpu, or an accelerator of this machine"
        ) from error
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What the record calls it: `cpu`, or the GPU's product name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
