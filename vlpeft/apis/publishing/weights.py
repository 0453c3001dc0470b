"""What of a run's checkpoint is published: the trained tensors, and what is recorded of their base and method."""

import io
import json
from typing import Any

import torch
from torch import nn

import vlpeft
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.coverage import OURS, check_load, weight_names
from vlpeft.checkpoint.files import SAFETENSORS_SUFFIX, safetensors_bytes
from vlpeft.checkpoint.fit import TRAINING_ONLY, fit_model
from vlpeft.checkpoint.translate import translate

KEPT_META = ('base', 'epoch', 'iter')


def strip(checkpoint: Checkpoint, model: nn.Module, half: bool = False) -> dict[str, Any]:
    """State dict and meta of a checkpoint as they are published.

    Args:
        checkpoint: Of a run.
        model: What it must fit, on any device.
        half: Whether numbers become half precision. Defaults to False.

    Raises:
        CheckpointError: It is not a checkpoint of ours, holds nothing but training state, or does not fit the model;
            or a weight is too large for half precision.
    """
    source, path = translate(checkpoint), checkpoint.origin
    layout = source.layout.name
    if layout != OURS:
        raise CheckpointError(f'{path} is in the {layout} layout; convert it first (convert_checkpoint.py --to vlpeft)')
    weights = {key: value for key, value in source.state.items() if not key.startswith(TRAINING_ONLY)}
    if not weights:
        raise CheckpointError(f'{path} holds no trained weights')
    recorded = checkpoint.meta
    meta = {key: recorded[key] for key in KEPT_META if recorded.get(key) is not None}
    _, report = fit_model(source, model)
    check_load(model, report, source, set(weight_names(model)) - model.declared if 'base' in meta else ())
    meta['method'] = model.method
    if half:
        weights = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
        if wide := [key for key, value in weights.items() if not value.isfinite().all()]:
            raise CheckpointError(f'{path}: {wide[0]} has values that half precision cannot hold')
    return dict(state_dict=weights, meta=dict(meta, vlpeft_version=vlpeft.__version__))


def to_bytes(content: dict[str, Any], suffix: str) -> bytes:
    """The bytes of a file with this suffix, the same for the same content."""
    if suffix != SAFETENSORS_SUFFIX:
        # Written to a path, torch's archive would hold the name of the path.
        stream = io.BytesIO()
        torch.save(content, stream)
        return stream.getvalue()
    data = safetensors_bytes(content['state_dict'], content['meta'])
    # safetensors writes the entries of its header's metadata in no fixed order.
    size = int.from_bytes(data[:8], 'little')
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(',', ':')).encode()
    header += b' ' * (-len(header) % 8)
    return len(header).to_bytes(8, 'little') + header + data[8 + size :]
