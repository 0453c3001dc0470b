"""Convert a checkpoint between layouts: those of released codes, vlpeft's own, safetensors."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from vlpeft.apis.build import empty_model
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.base import read_base
from vlpeft.checkpoint.coverage import OURS, check_load, is_base, weight_names
from vlpeft.checkpoint.dialects import dialect_names, get_dialect
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.files import (
    SAFETENSORS_SUFFIX,
    TORCH_SUFFIXES,
    write_checkpoint,
    write_safetensors,
)
from vlpeft.checkpoint.fit import fit_model
from vlpeft.checkpoint.identity import check_base, file_identity, joint_identity
from vlpeft.checkpoint.new_rows import join_new_rows, stored_rows
from vlpeft.checkpoint.report import shorten
from vlpeft.checkpoint.translate import translate
from vlpeft.checkpoint.write import to_layout
from vlpeft.engine.arguments import Overrides, existing_config
from vlpeft.engine.messages import run_main

SAFETENSORS = 'safetensors'
_PART = re.compile(r'(\w+)=(.+)')

EPILOG = """layouts:
{layouts}
  safetensors  vlpeft's keys in a flat .safetensors file

examples:
  # the official base, for mmpretrain
  %(prog)s model_base.pth blip_mmpretrain.pth --config uniadapter/blip_msrvtt --to mmpretrain
  # trained adapters together with their base, for the released UniAdapter code
  %(prog)s work_dirs/run/epoch_5.pth released.pth --config CFG --base model_base.pth --to uniadapter
  # trained parts alone, for the released eP-ALM code
  %(prog)s work_dirs/run/epoch_8.pth released.pth --config CFG --to epalm
  # the same with the models it stands on, as one file
  %(prog)s work_dirs/run/epoch_8.pth whole.pth --config CFG --base lm=opt.bin encoder=vit.npz
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
        help=f'file to write: *{SAFETENSORS_SUFFIX} for safetensors and layouts of hubs (timm, transformers), else '
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
        nargs='+',
        metavar='FILE or PART=FILE',
        help='base checkpoint that fills what SRC does not hold (an adapter-only SRC needs it for a layout that stores '
        'towers whole): one file, or one for each backbone, such as lm=opt.bin encoder=vit.npz',
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
    args.to = args.to or (SAFETENSORS if args.dst.suffix == SAFETENSORS_SUFFIX else OURS)
    if args.to == SAFETENSORS:
        expected = (SAFETENSORS_SUFFIX,)
    else:
        expected = (*TORCH_SUFFIXES, SAFETENSORS_SUFFIX) if get_dialect(args.to).flat else TORCH_SUFFIXES
    if args.dst.suffix not in expected:
        parser.error(f'{args.dst}: a file of layout {args.to} must end in {" or ".join(expected)}')
    try:
        args.base = base_files(args.base or [])
    except ValueError as error:
        parser.error(f'--base: {error}')
    return args


def base_files(given: Sequence[str]) -> dict:
    """Arguments of ``load_base`` from those of ``--base``; empty without.

    Raises:
        ValueError: Several files without parts, or a part twice.
    """
    if len(given) == 1 and (Path(given[0]).is_file() or not _PART.fullmatch(given[0])):
        return dict(source=given[0])
    pairs = [match.groups() if (match := _PART.fullmatch(text)) else (None, text) for text in given]
    bare = [text for part, text in pairs if part is None]
    if bare:
        raise ValueError(f'say which part each of several files is for, such as lm={bare[0]}')
    parts = dict(pairs)
    if len(parts) < len(pairs):
        raise ValueError('a part is named twice')
    return {part: dict(source=source) for part, source in parts.items()}


def gather(
    src: str, model: nn.Module, source_format: str | None, base: Mapping[str, dict]
) -> tuple[dict[str, Tensor], dict]:
    """State dict in our keys from SRC, filled up from the base; and the meta that our own layouts record.

    Raises:
        CheckpointError: SRC does not fit the model (:mod:`vlpeft.checkpoint.coverage`); a base, which holds nothing of
            a method, may leave the method unfilled.
    """
    path = fetch(src)
    source = translate(Checkpoint.read(path, src), OURS if source_format == SAFETENSORS else source_format)
    recorded = source.checkpoint.meta.get('base')
    files = read_base(model, **base) if base else []
    if recorded and files:
        check_base(recorded, joint_identity([file.identity for file in files]), src)
    state: dict[str, Tensor] = {}
    rows: dict[str, int] = {}
    for file in files:
        state.update(file.state)
        rows.update(file.report.grown)
        file.report.settle(())
        print(file.report)
    if files:
        source = source._replace(state=join_new_rows(source.state, state, src))
    fitted, report = fit_model(source, model)
    # Without --base, the base is taken to hold what is frozen.
    given = state or set(weight_names(model)) - model.declared
    plain = is_base(source.checkpoint, report)
    check_load(model, report, source, given, allow_random=plain)
    # A part that SRC does not hold at all is not what it lacks.
    report.settle([key for part in report.parts.values() if part.loaded for key in part.missing])
    print(report)
    state.update(fitted)
    rows = {key: count for key, count in rows.items() if key not in fitted} | report.grown
    for key, count in rows.items():
        print(f'{key}: its rows from {count} on are in no file and are left out')
        state[key] = state[key][:count]
    state.update(stored_rows(source.state))
    meta = dict(converted_from=file_identity(path))
    if not plain:
        meta['method'] = model.method
    if recorded and not base:
        meta['base'] = recorded
    return state, meta


def write(state: dict[str, Tensor], dst: Path, to: str, meta: dict, model: nn.Module) -> None:
    """Write a state dict in a layout; refuses one that holds towers whole if the state does not."""
    if to == SAFETENSORS:
        write_safetensors(state, dst, meta)
        return
    if to == OURS:
        write_checkpoint(dict(state_dict=state, meta=meta), dst)
        return
    written = to_layout(to, state, model)
    if dst.suffix == SAFETENSORS_SUFFIX:
        write_safetensors(written.content, dst)
    else:
        write_checkpoint(written.content, dst)
    for reason, keys in written.left_out.items():
        print(f'not written, {reason}: {shorten(keys)}')


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    if args.dst.exists() and not args.force:
        raise CheckpointError(f'{args.dst} exists; give --force to overwrite it')
    if args.to != SAFETENSORS and (reason := get_dialect(args.to).read_only):
        raise CheckpointError(f'the {args.to} layout is read only: {reason}')
    model = empty_model(args.config, args.cfg_options)
    state, meta = gather(args.src, model, args.source_format, args.base)
    write(state, args.dst, args.to, meta, model)
    print(f'wrote {args.dst} ({args.to} layout)')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
