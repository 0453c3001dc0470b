"""Writes a trained model as a folder that other programs load: merged into its weights, or as a LoRA of HF PEFT."""

import argparse
import sys

from vlpeft.apis.export import FORMATS, export, from_config, from_folders, is_one_model
from vlpeft.apis.merged_task import merge_task
from vlpeft.engine.arguments import Overrides, existing_config, names_adapter_folder
from vlpeft.engine.messages import run_main

EPILOG = """examples:
  # a run of a config: config.json, weights and processor in one folder, for from_pretrained and vLLM
  %(prog)s CONFIG work_dirs/run/epoch_3.pth exported/
  # its LoRA alone, for peft
  %(prog)s CONFIG work_dirs/run/epoch_3.pth lora/ --format peft
  # a run of any other task: the base merged, in its own layout (BLIP's, BART's, …), and a config that needs no method
  %(prog)s CONFIG work_dirs/run/epoch_3.pth merged/
  # a model of transformers with an adapter folder that adapter.save wrote in a loop of your own
  %(prog)s path/or/hub-name adapter_folder/ exported/

The folder is written whole or not at all; it is reloaded, and the largest difference of its outputs is printed."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='config (a file, or a name of the zoo); or a model: its folder or hub name')
    parser.add_argument('trained', help='checkpoint of a run of the config; or, of a model, an adapter folder')
    parser.add_argument('folder', help='where to write; it must not be there, or be empty')
    parser.add_argument('--format', choices=FORMATS, default='merged', help='default: merged')
    parser.add_argument('--overwrite', action='store_true', help='replace a folder that holds a model or an adapter')
    parser.add_argument('--max-shard-size', default='5GB', help='largest size of a file of weights (default: 5GB)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=Overrides, default={}, help='settings of the config, model.key=value'
    )
    args = parser.parse_args(argv)
    try:
        args.is_model = names_adapter_folder(args.trained)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    if args.is_model and args.cfg_options:
        parser.error('--cfg-options is for a config; a model and an adapter folder are given')
    if odd := [key for key in args.cfg_options if not key.startswith('model.')]:
        parser.error(f'--cfg-options {odd[0]}: only settings of model have a say here')
    if not args.is_model:
        try:
            args.source = existing_config(args.source)
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.is_model:
        trained = from_folders(args.source, args.trained)
    else:
        options = {key.removeprefix('model.'): value for key, value in args.cfg_options.items()}
        if args.format == 'merged' and not is_one_model(args.source, **options):
            print(merge_task(args.source, args.trained, args.folder, args.overwrite, **options))
            return
        trained = from_config(args.source, args.trained, **options)
    print(export(trained, args.folder, args.format, args.overwrite, args.max_shard_size))


if __name__ == '__main__':
    sys.exit(run_main(main))
