"""Describes images, videos or sounds."""

import sys

from vlpeft.apis.command_line import adapters_of, find_model, make_parser, run
from vlpeft.engine.messages import run_main

USAGE = '%(prog)s [CONFIG CHECKPOINT] FILE [FILE ...] [options]'
DESCRIPTION = """Describes each file, as the test of a config does.

  CONFIG      of a model that describes: a file, a name of the zoo, or a path below its configs
  CHECKPOINT  file or URL; "zoo" takes the published one, "none" loads nothing on top of the base
  FILE        what the model takes, images, videos or sounds; of a folder all below it, of a pattern in quotes ('*.jpg')
              what it fits

Without CONFIG and CHECKPOINT (or --model and --checkpoint) the model of tools/quickstart.sh captions is taken."""
EPILOG = """examples:
  %(prog)s data/quickstart/pictures/images/test_0000.png
  %(prog)s quickstart_captions_vlpet work_dirs/quickstart/captions_vlpet/epoch_12.pth holiday/ --scores --json
exit code: 0; 1 if a file could not be used (the others are described) or something else is wrong"""


def main(argv: list[str] | None = None) -> int:
    """Describe, and print the captions."""
    args = make_parser(USAGE, DESCRIPTION, EPILOG).parse_args(argv)
    config, checkpoint, named = find_model(args, 'captions', 'captions_vlpet', least=1)
    adapters = adapters_of(args)
    from vlpeft import CaptionInferencer
    from vlpeft.engine.console import quiet_console

    with quiet_console(on_error=True):
        inferencer = CaptionInferencer(config, checkpoint, args.device, args.dtype, adapters)
        return run(args, inferencer, named, inferencer)


if __name__ == '__main__':
    sys.exit(run_main(main))
