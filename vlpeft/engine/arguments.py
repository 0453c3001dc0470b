"""Arguments that the tools share. Nothing here imports torch, so that ``--help`` and wrong arguments answer at once."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from vlpeft.nearest import if_folder
from vlpeft.zoo.config_names import find_config
from vlpeft.zoo.folder import ZooError

#: How large a sample is, for tools that count what a config computes or takes.
SIZES = {
    'frames': 'frames of a clip (default: of the training pipeline, 1 for images)',
    'images': 'images of a sample, tiles of an image too (default: 1)',
    'text-tokens': 'tokens of a caption, question or prompt (default: 20; SigLIP pads to its own length)',
    'answer-tokens': 'tokens of an answer or caption (default: 10)',
    'picture-tokens': 'tokens of an image where its size decides, as with Qwen-VL (default: most of the config)',
    'batch-size': 'samples of a training step (default: of the config); costs shared in a batch are divided by it',
}
CONFIG_HELP = 'config: a file, a name of the zoo (see vlpeft list), or a path below its configs'


def existing_config(name: str) -> str:
    """Argparse type: path of the config file that a name stands for (:func:`~vlpeft.zoo.config_names.find_config`).

    Raises:
        argparse.ArgumentTypeError: There is none; the message lists similar names.
    """
    try:
        return str(find_config(name))
    except ZooError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def existing_checkpoint(path: str) -> str:
    """Argparse type: a checkpoint file that exists, or a URL, which the loader fetches.

    Raises:
        argparse.ArgumentTypeError: If there is no such file; the message lists the checkpoints beside it.
    """
    if '://' in path or Path(path).is_file():
        return path
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    there = sorted(p.name for p in folder.glob('*.pth'))
    beside = f'; {folder} holds {", ".join(there)}' if there else ''
    raise argparse.ArgumentTypeError(f'checkpoint file {path} does not exist{if_folder(path)}{beside}')


def names_adapter_folder(path: str) -> bool:
    """Whether what was trained is an adapter folder, of a model, rather than a checkpoint, of a config.

    Raises:
        argparse.ArgumentTypeError: It is a folder without an adapter.
    """
    if not Path(path).is_dir():
        return False
    from vlpeft.adaptation.peft_folder import CONFIG

    if not Path(path, CONFIG).is_file():
        raise argparse.ArgumentTypeError(f'{path} is a folder without an adapter (there is no {CONFIG} in it)')
    return True


class Overrides(DictAction):
    """Argparse action of ``--cfg-options``: ``KEY=VALUE`` to a dict."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            if not value.partition('=')[1] or value.startswith('='):
                parser.error(f'{option_string}: {value!r} is not KEY=VALUE')
        super().__call__(parser, namespace, values, option_string)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``config`` and ``--cfg-options``."""
    parser.add_argument('config', type=existing_config, help=CONFIG_HELP)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Overrides,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. model.adapter.bottleneck=512 train_dataloader.batch_size=4; '
        'lists as key="[a,b]" or key=a,b, nested ones as key="[(a,b),(c,d)]", without blanks',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--work-dir``, ``--verbose``, ``--launcher`` and ``--local_rank``."""
    parser.add_argument(
        '--work-dir',
        help='folder for logs, checkpoints and results; default: work_dir of the config, '
        'else ./work_dirs/<path of the config below configs/>',
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='write the whole log to the console too: environment, config, order of the hooks, every interval '
        '(default: what a person wants to see; the log file has all)',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started; dist_*.sh and slurm_*.sh set it (default: none, a single process)',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by some launchers')


class Positive(argparse.Action):
    """Argparse action: whole numbers that are at least 1."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values if isinstance(values, list) else [values]:
            if value < 1:
                parser.error(f'{option_string} must be at least 1, got {value}')
        setattr(namespace, self.dest, values)


def add_size_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``SIZES`` and ``--task``."""
    for name, text in SIZES.items():
        parser.add_argument(f'--{name}', type=int, action=Positive, metavar='N', help=text)
    parser.add_argument('--task', help='of a model of several tasks (default: the first)')


def wanted_sizes(args: argparse.Namespace) -> dict[str, int | str | None]:
    """Fields of :class:`~vlpeft.analysis.flop_inputs.Sizes` that were asked for, None where not."""
    return dict(
        frames=args.frames,
        images=args.images,
        text=args.text_tokens,
        answer=args.answer_tokens,
        batch=args.batch_size,
        picture_tokens=args.picture_tokens,
        task=args.task,
    )
