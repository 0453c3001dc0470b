"""The command ``vlpeft``: its subcommands are the tools, those of the installed package or of the checkout.

A tool is imported when its subcommand is called, so that ``vlpeft --help`` and ``vlpeft list`` start at once.
"""

import argparse
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

from .engine.messages import run_main, short_parser_errors
from .nearest import suggestion
from .version import __version__
from .zoo.folder import ZooError, zoo_root


class Command(NamedTuple):
    """``tool`` is its path below ``tools``; a shell script starts several processes."""

    tool: str
    summary: str


COMMANDS = {
    'train': Command('train.py', 'train a model from a config'),
    'test': Command('test.py', 'evaluate a checkpoint, or a base without one'),
    'dist-train': Command('dist_train.sh', 'train with several processes, one for each GPU'),
    'dist-test': Command('dist_test.sh', 'evaluate with several processes'),
    'chat': Command('demo/chat.py', 'hold a conversation about images and videos'),
    'search': Command('demo/search.py', 'search a folder of videos or images by text'),
    'ask': Command('demo/ask.py', 'answer a question about images or videos'),
    'caption': Command('demo/caption.py', 'describe images, videos or sounds'),
    'demo': Command('demo/page.py', 'serve a page that shows models with and without their adapter'),
    'list': Command('misc/list_models.py', 'list the models of the zoo'),
    'show': Command('misc/print_config.py', 'print a config, to read it or to start your own from'),
    'params': Command('analysis_tools/count_params.py', 'count the parameters of a config, in all and trained'),
    'estimate': Command('analysis_tools/estimate_memory.py', 'estimate the device memory of a training run'),
    'compare': Command('analysis_tools/compare_methods.py', 'compare methods: run a study, keep records'),
    'flops': Command('analysis_tools/get_flops.py', 'count floating-point operations of a config'),
    'convert': Command('model_converters/convert_checkpoint.py', 'convert a checkpoint to another layout'),
    'export': Command('model_converters/export.py', 'write a trained model for from_pretrained, servers or peft'),
    'publish': Command(
        'model_converters/publish_model.py', 'write trained parts with a model card, for the hub or the zoo'
    ),
    'browse': Command('analysis_tools/browse_dataset.py', 'show what the model sees of the data of a config'),
    'check-data': Command('analysis_tools/check_dataset.py', 'check the data of a config'),
    'logs': Command('analysis_tools/analyze_logs.py', 'draw the curves of training runs'),
    'adapters': Command('analysis_tools/visualize_adapters.py', 'show how large what a trained method adds is'),
    'doctor': Command('misc/doctor.py', 'check the installation, and what a config still needs'),
}
HELP = """usage: vlpeft COMMAND [arguments]

{commands}

vlpeft COMMAND --help describes a command. A config is a file, a name that vlpeft list prints, or a path below the
zoo's configs. Documentation: docs/tools.md.

options:
  -h, --help  print this
  --version   print the version
"""


def main(argv: list[str] | None = None) -> int | None:
    """Runs a subcommand.

    Args:
        argv: Arguments, the subcommand first. Defaults to None, those of the process.

    Returns:
        Exit code of the tool; None is 0. 2 for a command that there is not.

    Raises:
        SystemExit: Of the tool.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] in ('-h', '--help'):
        width = max(map(len, COMMANDS))
        commands = '\n'.join(f'  {name:{width}}  {command.summary}' for name, command in COMMANDS.items())
        print(HELP.format(commands=commands), end='')
        return 0 if argv else 2
    if argv[0] == '--version':
        print(f'vlpeft {__version__}')
        return 0
    name, *arguments = argv
    if name not in COMMANDS:
        print(f'vlpeft: there is no command {name!r}{suggestion(name, COMMANDS, every=99)}', file=sys.stderr)
        return 2
    try:
        tool = zoo_root() / 'tools' / COMMANDS[name].tool
    except ZooError as error:
        print(f'vlpeft: {error}', file=sys.stderr)
        return 2
    if tool.suffix == '.sh':
        with short_parser_errors():
            start_processes(name, tool, arguments)
    return run_tool(name, tool, arguments)


def run_tool(name: str, tool: Path, arguments: list[str]) -> int | None:
    """Imports a tool and calls its ``main``; its help says ``vlpeft NAME``."""
    sys.argv = [f'vlpeft {name}', *arguments]
    spec = spec_from_file_location(f'vlpeft_tool_{tool.stem}', tool)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module

    def main() -> int | None:
        spec.loader.exec_module(module)
        return module.main()

    return run_main(main)


def start_processes(name: str, script: Path, arguments: list[str]) -> None:
    """Becomes ``dist_train.sh`` or ``dist_test.sh``, so that signals reach it; never returns.

    Raises:
        SystemExit: Wrong arguments.
    """
    from .zoo.config_names import find_config

    parser = argparse.ArgumentParser(
        prog=f'vlpeft {name}',
        description=f'{COMMANDS[name].summary.capitalize()}.',
        epilog='Several machines: set NNODES, NODE_RANK and MASTER_ADDR on each; PORT (29500) if two runs share a '
        'machine. Exit codes are those of the processes.',
    )
    parser.add_argument('config', help='config: a file, a name of the zoo, or a path below its configs')
    if name == 'dist-test':
        parser.add_argument('checkpoint', help='checkpoint file or URL; "none" evaluates the base model')
    parser.add_argument('processes', type=int, help='processes on this machine: GPUs, or without any CPU processes')
    parser.add_argument(
        'arguments', nargs=argparse.REMAINDER, help=f'further arguments of vlpeft {name.removeprefix("dist-")}'
    )
    args = parser.parse_args(arguments)
    if args.processes < 1:
        parser.error(f'processes must be at least 1, got {args.processes}')
    try:
        config = str(find_config(args.config))
    except ZooError as error:
        parser.error(str(error))
    checkpoint = [args.checkpoint] if name == 'dist-test' else []
    command = ['bash', str(script), config, *checkpoint, str(args.processes), *args.arguments]
    sys.stdout.flush()
    os.execvpe('bash', command, dict(os.environ, PYTHON=sys.executable))
