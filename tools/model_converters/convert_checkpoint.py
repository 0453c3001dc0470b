"""Convert a checkpoint between layouts: those of released codes, vlpeft's own, safetensors."""

import argparse
import sys
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from torch import Tensor

from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.dialects import dialect_names, get_dialect, weights_of
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.files import (SAFETENSORS_SUFFIX, TORCH_SUFFIXES, read_checkpoint, write_checkpoint,
                                     write_safetensors)
from vlpeft.checkpoint.identity import base_identity, check_base
from vlpeft.checkpoint.load import fit, unique_state
from vlpeft.checkpoint.new_rows import join_new_rows, stored_rows
from vlpeft.checkpoint.report import shorten
from vlpeft.checkpoint.tied import tied_names

SAFETENSORS = 'safetensors'
OURS = ('vlpeft', SAFETENSORS)

EPILOG = """layouts:
{layouts}
  safetensors  vlpeft's keys in a flat .safetensors file

examples:
  # the official base, for mmpretrain
  convert_checkpoint.py model_base.pth blip_mmpretrain.pth --config configs/uniadapter/blip_msrvtt.py --to mmpretrain
  # trained adapters together with their base, for the released UniAdapter code
  convert_checkpoint.py work_dirs/run/epoch_5.pth released.pth --config CFG --base model_base.pth --to uniadapter
"""


def parse_args(argv=None) -> argparse.Namespace:
    layouts = '\n'.join(f'  {name:11}  {(type(get_dialect(name)).__doc__ or "").splitlines()[0]}'
                        for name in dialect_names())
    parser = argparse.ArgumentParser(description=__doc__, epilog=EPILOG.format(layouts=layouts),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    formats = sorted({*dialect_names(), SAFETENSORS})
    parser.add_argument('src', help='checkpoint to convert: a path, file:// or http(s):// URL')
    parser.add_argument('dst', type=Path, help=f'file to write: *{SAFETENSORS_SUFFIX} for safetensors, else '
                        + ', '.join(f'*{suffix}' for suffix in TORCH_SUFFIXES))
    parser.add_argument('--config', required=True, help='config of the model, which decides keys and geometry')
    parser.add_argument('--to', choices=formats, help='layout to write (default: safetensors if DST is named so, '
                        'else vlpeft)')
    parser.add_argument('--from', dest='source_format', choices=formats, help='layout of SRC (default: told from '
                        'its keys)')
    parser.add_argument('--base', help='base checkpoint that fills what SRC does not hold (an adapter-only SRC needs '
                        'it for a layout that stores whole models)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='override config entries, such as model.adapter.bottleneck=512')
    parser.add_argument('--force', action='store_true', help='overwrite DST')
    args = parser.parse_args(argv)
    args.to = args.to or (SAFETENSORS if args.dst.suffix == SAFETENSORS_SUFFIX else 'vlpeft')
    expected = (SAFETENSORS_SUFFIX, ) if args.to == SAFETENSORS else TORCH_SUFFIXES
    if args.dst.suffix not in expected:
        parser.error(f'{args.dst}: a file of layout {args.to} must end in {" or ".join(expected)}')
    return args


def model_state(config: str, options: Dict) -> Tuple[Dict[str, Tensor], Tuple[str, ...], Dict[str, str]]:
    """State dict of the config's model on the meta device: keys and shapes, no memory, no weights; the names of the
    parts that a base fills; and further names of tied tensors."""
    from vlpeft.registry import MODELS

    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    cfg.model.base_checkpoint = None
    init_default_scope('vlpeft')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    return unique_state(model), model.backbones, tied_names(model)


def gather(src: str, target: Mapping[str, Tensor], backbones: Tuple[str, ...], tied: Mapping[str, str],
           source_format: Optional[str], base: Optional[str]) -> Tuple[Dict[str, Tensor], Dict]:
    """State dict in our keys from SRC, filled up from the base; and the meta that our own layouts record."""
    checkpoint = read_checkpoint(fetch(src))
    recorded = checkpoint.get('meta', {}).get('base')
    if recorded and base:
        check_base(recorded, base_identity(base), src)
    state = {}
    if base:
        state, report = fit(fetch(base), target, strict_parts=backbones, tied=tied)
        print(report)
        checkpoint = {**checkpoint, 'state_dict': join_new_rows(weights_of(checkpoint), state, src)}
    fitted, report = fit(checkpoint, target, origin=src, tied=tied,
                         dialect='vlpeft' if source_format == SAFETENSORS else source_format)
    print(report)
    state.update(fitted)
    state.update(stored_rows(weights_of(checkpoint)))
    meta = dict(converted_from=base_identity(src))
    if recorded and not base:
        meta['base'] = recorded
    return state, meta


def write(state: Dict[str, Tensor], dst: Path, to: str, meta: Dict, target: Mapping[str, Tensor],
          backbones: Tuple[str, ...]) -> None:
    """Write a state dict in a layout; refuses a whole-model layout without the whole backbone."""
    absent = [key for key in target if key.partition('.')[0] in backbones and key not in state]
    if to not in OURS and absent:
        raise CheckpointError(f'the {to} layout holds whole models, and {len(absent)} backbone keys are missing '
                              f'({shorten(absent)}); name the base with --base')
    if to == SAFETENSORS:
        write_safetensors(state, dst, meta)
        return
    layout = get_dialect(to)
    checkpoint = layout.from_vlpeft(state)
    if to in OURS:
        checkpoint['meta'] = meta
    write_checkpoint(checkpoint, dst)
    for reason, keys in layout.dropped_keys(state).items():
        print(f'not written, {reason}: {shorten(keys)}')


def main(argv=None) -> int:
    args = parse_args(argv)
    try:
        if args.dst.exists() and not args.force:
            raise CheckpointError(f'{args.dst} exists; give --force to overwrite it')
        target, backbones, tied = model_state(args.config, args.cfg_options)
        state, meta = gather(args.src, target, backbones, tied, args.source_format, args.base)
        write(state, args.dst, args.to, meta, target, backbones)
    except (CheckpointError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'wrote {args.dst} ({args.to} layout)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
