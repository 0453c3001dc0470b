"""Makes a task checkpoint ready to publish: the trained parts alone, and a model card that tells what they are."""

import argparse
import json
import sys
from pathlib import Path

from vlpeft.engine.arguments import Overrides, existing_config
from vlpeft.engine.messages import run_main

EPILOG = """examples:
  # the folder that the Hugging Face hub keeps: card, weights, config; vlpeft.get_model('published/my_model') loads it
  %(prog)s work_dirs/run/epoch_5.pth --hub-folder published/my_model --result result.json --licence apache-2.0
  # what would be uploaded, and uploading it (hf auth login first)
  %(prog)s work_dirs/run/epoch_5.pth --hub-folder published/my_model --push owner/my_model
  %(prog)s work_dirs/run/epoch_5.pth --hub-folder published/my_model --overwrite --push owner/my_model --yes
  # one file, named by its content, with its card beside it: for the zoo
  %(prog)s work_dirs/uniadapter/blip_msrvtt/epoch_5.pth published/uniadapter_blip_msrvtt.pth

What stands on the card comes from the checkpoint: config, data, steps, seed, versions and commit of its run. A config
or result that contradicts it is refused. Folders, names of users and hosts, and tokens are left out (docs/zoo.md)."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', type=Path, help='checkpoint of a run')
    parser.add_argument(
        'dst',
        type=Path,
        nargs='?',
        help='file to write, STEM.pth or STEM.safetensors; the first 8 digits of the sha256 are put between stem and '
        'suffix, and the card goes to the same name with .md',
    )
    parser.add_argument(
        '--hub-folder', type=Path, metavar='DIR', help='write a folder instead of a file, as it is uploaded to the hub'
    )
    parser.add_argument(
        '--config',
        type=existing_config,
        help='config that the checkpoint must fit wholly (default: the one that the run has recorded in it)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Overrides,
        default={},
        metavar='KEY=VALUE',
        help='override entries of --config, such as model.adapter.bottleneck=512',
    )
    parser.add_argument(
        '--result',
        type=Path,
        metavar='FILE.json',
        help='of vlpeft test --out with this checkpoint: metrics of the card',
    )
    parser.add_argument(
        '--licence',
        '--license',
        help="of the trained parts, such as apache-2.0 or other (default: the card says 'not stated')",
    )
    parser.add_argument('--name', help='title of the card (default: name of the file or folder)')
    parser.add_argument(
        '--half', action='store_true', help='write half precision (float16), half as many bytes, rounded to 3 digits'
    )
    parser.add_argument(
        '--no-tokenizer',
        action='store_true',
        help='leave a vocabulary that lies on this machine alone out of the folder',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a folder of a published model')
    parser.add_argument(
        '--push', metavar='OWNER/NAME', help='say what of the folder would be uploaded to the Hugging Face hub'
    )
    parser.add_argument('--yes', action='store_true', help='with --push: upload it')
    args = parser.parse_args(argv)
    if (args.dst is None) == (args.hub_folder is None):
        parser.error('give a file to write, or --hub-folder DIR')
    from vlpeft.checkpoint.files import SAFETENSORS_SUFFIX, TORCH_SUFFIXES

    if args.dst is not None and args.dst.suffix not in (*TORCH_SUFFIXES, SAFETENSORS_SUFFIX):
        parser.error(f'{args.dst}: the name must end in {", ".join((*TORCH_SUFFIXES, SAFETENSORS_SUFFIX))}')
    if args.push and args.hub_folder is None:
        parser.error('--push uploads a folder; give --hub-folder DIR')
    for option, needed in (('yes', 'push'), ('cfg_options', 'config'), ('overwrite', 'hub_folder')):
        if getattr(args, option) and not getattr(args, needed):
            parser.error(f'--{option.replace("_", "-")} goes with --{needed.replace("_", "-")}')
    return args


def main(argv: list[str] | None = None) -> int:
    """Publish, or say why not."""
    args = parse_args(argv)
    from vlpeft.apis.publishing.card import NOT_STATED
    from vlpeft.apis.publishing.licences import licence
    from vlpeft.apis.publishing.private import secret_words
    from vlpeft.apis.publishing.publish import Told, publish_file, publish_folder
    from vlpeft.apis.publishing.push import check_repository, upload
    from vlpeft.apis.publishing.result import read_result
    from vlpeft.apis.publishing.run import read_run

    chosen = licence(args.licence) if args.licence else None
    if args.push:
        check_repository(args.push)
    run = read_run(args.src, args.config, args.cfg_options)
    words = secret_words(json.dumps(run.config.to_dict(), default=str), str(args.src.resolve()))
    told = Told(
        args.name, read_result(args.result, args.src) if args.result else None, chosen, words, args.half, args.push
    )
    if args.hub_folder is None:
        publish_file(run, args.dst, told, args.config)
    else:
        publish_folder(run, args.hub_folder, told, not args.no_tokenizer, args.overwrite)
    if args.push:
        upload(args.hub_folder, args.push, args.yes)
    if chosen is None:
        print(
            f'warning: the card says {NOT_STATED!r} as licence of the trained parts, so nobody may use them; state it '
            'with --licence',
            file=sys.stderr,
        )
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
