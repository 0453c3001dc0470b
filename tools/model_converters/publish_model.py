"""Makes a task checkpoint ready to publish: what only training needs is left out, and the name tells the content."""

import argparse
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

import vlpeft
from vlpeft.apis.build import empty_model
from vlpeft.atomic import write_atomically
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.coverage import OURS, check_load, weight_names
from vlpeft.checkpoint.files import SAFETENSORS_SUFFIX, TORCH_SUFFIXES, safetensors_bytes
from vlpeft.checkpoint.fit import TRAINING_ONLY, fit_model
from vlpeft.checkpoint.manifest import write_manifest
from vlpeft.checkpoint.translate import translate
from vlpeft.engine.arguments import Overrides, existing_config
from vlpeft.engine.messages import run_main

KEPT_META = ('base', 'epoch', 'iter')
EPILOG = """example:
  python tools/model_converters/publish_model.py work_dirs/uniadapter/blip_msrvtt/epoch_5.pth \\
      published/uniadapter_blip_msrvtt.pth --config configs/uniadapter/blip_msrvtt.py
writes published/uniadapter_blip_msrvtt-1a2b3c4d.pth and prints what to paste into the metafile (docs/zoo.md)."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', type=Path, help='checkpoint of a run')
    parser.add_argument(
        'dst',
        type=Path,
        help='STEM.pth or STEM.safetensors; the first 8 digits of the sha256 are put between stem and suffix',
    )
    parser.add_argument(
        '--config', type=existing_config, required=True, help='config that the checkpoint must fit wholly'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Overrides,
        default={},
        metavar='KEY=VALUE',
        help='override config entries, such as model.adapter.bottleneck=512',
    )
    parser.add_argument(
        '--half', action='store_true', help='write half precision (float16), half as many bytes, rounded to 3 digits'
    )
    args = parser.parse_args(argv)
    if args.dst.suffix not in (*TORCH_SUFFIXES, SAFETENSORS_SUFFIX):
        parser.error(f'{args.dst}: the name must end in {", ".join((*TORCH_SUFFIXES, SAFETENSORS_SUFFIX))}')
    return args


def strip(path: Path, model: nn.Module, half: bool = False) -> dict[str, Any]:
    """State dict and meta of a checkpoint as they are published, ``half`` in half precision.

    Raises:
        CheckpointError: It is not a checkpoint of ours, holds nothing but training state, or does not fit the model;
            or a weight is too large for half precision.
    """
    source = translate(Checkpoint.read(path))
    layout = source.layout.name
    if layout != OURS:
        raise CheckpointError(f'{path} is in the {layout} layout; convert it first (convert_checkpoint.py --to vlpeft)')
    weights = {key: value for key, value in source.state.items() if not key.startswith(TRAINING_ONLY)}
    if not weights:
        raise CheckpointError(f'{path} holds no trained weights')
    recorded = source.checkpoint.meta
    meta = {key: recorded[key] for key in KEPT_META if recorded.get(key) is not None}
    _, report = fit_model(source, model)
    check_load(model, report, source, set(weight_names(model)) - model.declared if 'base' in meta else ())
    meta['method'] = model.method
    if half:
        weights = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
        if wide := [key for key, value in weights.items() if not value.isfinite().all()]:
            raise CheckpointError(f'{path}: {wide[0]} has values that half precision cannot hold')
    return dict(state_dict=weights, meta=dict(meta, vlpeft_version=vlpeft.__version__))


def to_bytes(checkpoint: dict[str, Any], suffix: str) -> bytes:
    """The bytes of a file with this suffix, the same for the same content."""
    if suffix != SAFETENSORS_SUFFIX:
        # Written to a path, torch's archive would hold the name of the path.
        stream = io.BytesIO()
        torch.save(checkpoint, stream)
        return stream.getvalue()
    data = safetensors_bytes(checkpoint['state_dict'], checkpoint['meta'])
    # safetensors writes the entries of its header's metadata in no fixed order.
    size = int.from_bytes(data[:8], 'little')
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(',', ':')).encode()
    header += b' ' * (-len(header) % 8)
    return len(header).to_bytes(8, 'little') + header + data[8 + size :]


def _write(data: bytes, part: str, target: Path) -> None:
    """Writes the file, which is to take the place ``target``, and its manifest."""
    Path(part).write_bytes(data)
    write_manifest(target, part)


def publish(src: Path, dst: Path, model: nn.Module, half: bool = False) -> Path:
    """Writes the published file; does nothing if it is there. ``model`` is what it must fit, on any device; ``half``
    writes half precision.

    Raises:
        CheckpointError: As :func:`strip`, or a file of that name holds something else.
    """
    data = to_bytes(strip(src, model, half), dst.suffix)
    digest = hashlib.sha256(data).hexdigest()
    target = dst.with_name(f'{dst.stem}-{digest[:8]}{dst.suffix}')
    if not target.exists():
        write_atomically(target, lambda part: _write(data, part, target))
        print(f'wrote {target}')
    elif target.read_bytes() == data:
        print(f'{target} is there already')
    else:
        raise CheckpointError(f'{target} exists and holds something else; remove it first')
    print(
        f'for the metafile:\n    Weights: <URL of the folder>/{target.name}\n    SHA256: {digest}\n'
        f'    Size: {len(data)}'
    )
    return target


def main(argv: list[str] | None = None) -> int:
    """Publish, or say why not."""
    args = parse_args(argv)
    publish(args.src, args.dst, empty_model(args.config, args.cfg_options), args.half)
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
