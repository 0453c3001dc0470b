"""Devices by name."""

import torch


def usable_device(device: str | torch.device) -> torch.device:
    """The device of that name.

    Raises:
        ValueError: There is no such kind of device, or torch sees none of that number here.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is no device of torch; use 'cpu', 'cuda' or 'cuda:<number>'") from error
    if found.type == 'cuda' and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={str(device)!r}, but torch sees {torch.cuda.device_count()} GPUs here; use another number or 'cpu'"
        )
    return found
