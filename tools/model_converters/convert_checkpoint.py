"""Convert a checkpoint between layouts: those of released codes, vlpeft's own, safetensors."""

import argparse
import sys
from pathlib import Path

from torch import Tensor, nn

from vlpeft.apis.build import empty_model
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.coverage import check_load, is_base, meta_of, weight_names
from vlpeft.checkpoint.dialects import dialect_names, get_dialect, weights_of
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.files import (
    SAFETENSORS_SUFFIX,
    TORCH_SUFFIXES,
    read_checkpoint,
    write_checkpoint,
    write_safetensors,
)
from vlpeft.checkpoint.identity import base_identity, check_base
from vlpeft.checkpoint.load import fit
from vlpeft.checkpoint.new_rows import join_new_rows, stored_rows
from vlpeft.checkpoint.report import shorten
from vlpeft.checkpoint.tied import tied_names, unique_state
from vlpeft.checkpoint.unread import check_read
from vlpeft.engine.launch import Overrides, existing_config
from vlpeft.engine.messages import run_main

SAFETENSORS = 'safetensors'
OURS = ('vlpeft', SAFETENSORS)

EPILOG = """layouts:
{layouts}
  safetensors  vlpeft's keys in a flat .safetensors file

examples:
  # the official base, for mmpretrain
  %(prog)s model_base.pth blip_mmpretrain.pth --config uniadapter/blip_msrvtt --to mmpretrain
  # trained adapters together with their base, for the released UniAdapter code
  %(prog)s work_dirs/run/epoch_5.pth released.pth --config CFG --base model_base.pth --to uniadapter
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    layouts = '\n'.join(
        f'  {name:11}  {(type(get_dialect(name)).__doc__ or "").splitlines()[0]}' for name in dialect_names()
    )
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG.format(layouts=layouts), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    formats = sorted({*dialect_names(), SAFETENSORS})
    parser.add_argument('src', help='checkpoint to convert: a path, file:// or http(s):// URL')
    parser.add_argument(
        'dst',
        type=Path,
        help=f'file to write: *{SAFETENSORS_SUFFIX} for safetensors, else '
        + ', '.join(f'*{suffix}' for suffix in TORCH_SUFFIXES),
    )
    parser.add_argument(
        '--config', type=existing_config, required=True, help='config of the model, which decides keys and geometry'
    )
    parser.add_argument(
        '--to', choices=formats, help='layout to write (default: safetensors if DST is named so, else vlpeft)'
    )
    parser.add_argument(
        '--from', dest='source_format', choices=formats, help='layout of SRC (default: told from its keys)'
    )
    parser.add_argument(
        '--base',
        help='base checkpoint that fills what SRC does not hold (an adapter-only SRC needs '
        'it for a layout that stores whole models)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Overrides,
        default={},
        metavar='KEY=VALUE',
        help='override config entries, such as model.adapter.bottleneck=512',
    )
    parser.add_argument('--force', action='store_true', help='overwrite DST')
    args = parser.parse_args(argv)
    args.to = args.to or (SAFETENSORS if args.dst.suffix == SAFETENSORS_SUFFIX else 'vlpeft')
    expected = (SAFETENSORS_SUFFIX,) if args.to == SAFETENSORS else TORCH_SUFFIXES
    if args.dst.suffix not in expected:
        parser.error(f'{args.dst}: a file of layout {args.to} must end in {" or ".join(expected)}')
    return args


def gather(src: str, model: nn.Module, source_format: str | None, base: str | None) -> tuple[dict[str, Tensor], dict]:
    """State dict in our keys from SRC, filled up from the base; and the meta that our own layouts record.

    Raises:
        CheckpointError: SRC does not fit the model (:mod:`vlpeft.checkpoint.coverage`); a base, which holds nothing of
            a method, may leave the method unfilled.
    """
    target, tied = unique_state(model), tied_names(model)
    checkpoint = read_checkpoint(fetch(src))
    recorded = meta_of(checkpoint).get('base')
    if recorded and base:
        check_base(recorded, base_identity(base), src)
    state = {}
    if base:
        state, report = fit(fetch(base), target, strict_parts=model.backbones, tied=tied)
        check_read(report, {name for name, _ in model.named_buffers(remove_duplicate=False)}, model.backbones)
        report.settle(())
        print(report)
        checkpoint = {**checkpoint, 'state_dict': join_new_rows(weights_of(checkpoint), state, src)}
    fitted, report = fit(
        checkpoint, target, origin=src, tied=tied, dialect='vlpeft' if source_format == SAFETENSORS else source_format
    )
    # Without --base, the base is taken to hold what is frozen.
    given = state or set(weight_names(model)) - model.declared
    plain = is_base(checkpoint, report)
    check_load(model, report, checkpoint, given, allow_random=plain)
    # A part that SRC does not hold at all is not what it lacks.
    report.settle([key for part in report.parts.values() if part.loaded for key in part.missing])
    print(report)
    state.update(fitted)
    state.update(stored_rows(weights_of(checkpoint)))
    meta = dict(converted_from=base_identity(src))
    if not plain:
        meta['method'] = model.method
    if recorded and not base:
        meta['base'] = recorded
    return state, meta


def write(state: dict[str, Tensor], dst: Path, to: str, meta: dict, model: nn.Module) -> None:
    """Write a state dict in a layout; refuses a whole-model layout without the whole backbone."""
    absent = [key for key in unique_state(model) if key.partition('.')[0] in model.backbones and key not in state]
    if to not in OURS and absent:
        raise CheckpointError(
            f'the {to} layout holds whole models, and {len(absent)} backbone keys are missing '
            f'({shorten(absent)}); name the base with --base'
        )
    if to == SAFETENSORS:
        write_safetensors(state, dst, meta)
        return
    layout = get_dialect(to).of_model(model)
    checkpoint = layout.from_vlpeft(state)
    if to in OURS:
        checkpoint['meta'] = meta
    write_checkpoint(checkpoint, dst)
    for reason, keys in layout.dropped_keys(state).items():
        print(f'not written, {reason}: {shorten(keys)}')


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    if args.dst.exists() and not args.force:
        raise CheckpointError(f'{args.dst} exists; give --force to overwrite it')
    model = empty_model(args.config, args.cfg_options)
    state, meta = gather(args.src, model, args.source_format, args.base)
    write(state, args.dst, args.to, meta, model)
    print(f'wrote {args.dst} ({args.to} layout)')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
