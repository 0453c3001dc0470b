"""What a load must fill and must have read: one rule for everything that takes a checkpoint.

A *whole* load (testing, resuming, ``get_model``, inferencers, converting, publishing) fills every parameter that trains
and every other one that the base does not give, and reads every key of the file. A *start* (``load_from`` in training)
may fill less, and may leave out heads that the model does not have.
"""

import logging
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from mmengine.logging import print_log
from torch import nn

from .checkpoint import Checkpoint
from .errors import CheckpointError
from .new_rows import stored_rows
from .places import METHOD_PART
from .report import LoadReport, shorten
from .translate import Translated

OURS = 'vlpeft'


def weight_names(model: nn.Module) -> list[str]:
    """Keys of what a file has to give: the parameters, tied ones once."""
    return [name for name, _ in model.named_parameters()]


def random_parts(model: nn.Module) -> list[str]:
    """Those of :func:`weight_names` that no file has filled: they are as they were initialised."""
    return [name for name in weight_names(model) if name not in model.filled]


def warn_of_random_parts(model: nn.Module, begins: bool = False) -> None:
    """Names, in a warning, what no file has filled; silent if there is nothing.

    Args:
        model: An :class:`AdaptedModel`.
        begins: Whether a training begins for which no file was given: that the method and trained parts beside the
            backbones have their initial values then is for the log file, and no warning. Defaults to False.
    """
    if names := random_parts(model):
        new = begins and all(name in model.declared and _part(name) not in model.backbones for name in names)
        print_log(
            f'{len(names)} parameters of {model.method} come from no file and have their initial values: '
            + by_part(names),
            'current',
            logging.INFO if new else logging.WARNING,
        )


def _part(name: str) -> str:
    return name.partition('.')[0]


def by_part(keys: Collection[str]) -> str:
    """The first keys of each part."""
    parts: dict[str, list[str]] = {}
    for key in keys:
        parts.setdefault(key.partition('.')[0], []).append(key)
    return '; '.join(f'{part} ({len(names)}): {shorten(names)}' for part, names in parts.items())


def held_method(source: Translated) -> str:
    """What was trained into a checkpoint, as it says itself or as its layout tells."""
    if method := source.checkpoint.meta.get('method'):
        return str(method)
    layout = source.layout.name
    return 'a method that it does not name' if layout == OURS else f'the {layout} layout'


def is_base(checkpoint: Checkpoint, report: LoadReport) -> bool:
    """Whether a checkpoint is no result of training a method: it records no base and no method, and holds none."""
    trained = [key for key in (*report.loaded, *report.unexpected) if key.startswith(f'{METHOD_PART}.')]
    return not trained and not checkpoint.meta.keys() & {'base', 'method'}


def unread_keys(model: nn.Module, report: LoadReport, source: Translated) -> list[str]:
    """Keys of the file, in our names, that the model has no place for. Those that a foreign layout does not know
    either keep their names; they are warned of, and are not among them.
    """
    in_file = source.checkpoint.weights
    there = {*model.state_dict(), *stored_rows(in_file)}
    unknown = [key for key in report.unexpected if key not in there]
    foreign = [key for key in unknown if report.dialect != OURS and key in in_file]
    if foreign:
        print_log(
            f'{report.origin}: {len(foreign)} keys are unknown to the {report.dialect} layout and are not read: '
            + by_part(foreign),
            'current',
            logging.WARNING,
        )
    return [key for key in unknown if key not in foreign]


def check_load(
    model: nn.Module,
    report: LoadReport,
    source: Translated,
    given: Collection[str],
    start: bool = False,
    allow_random: bool = False,
) -> None:
    """Holds a load to the rule, before anything of it is in the model.

    Args:
        model: An :class:`AdaptedModel`.
        report: Of ``fit_model``.
        source: What was given to it.
        given: Keys that the base gives.
        start: Whether training starts from it. Defaults to False.
        allow_random: Whether parameters may be left unfilled. Defaults to False.

    Raises:
        CheckpointError: Parameters would stay unfilled or keys unread; names the file's method and the model's.
    """
    loaded = set(report.loaded)
    must = [name for name in weight_names(model) if name in model.declared or name not in given]
    unfilled = [] if start or allow_random else [name for name in must if name not in loaded]
    unread = unread_keys(model, report, source)
    if start:
        parts = {key.partition('.')[0] for key in model.state_dict()} | {METHOD_PART}
        elsewhere = [key for key in unread if key.partition('.')[0] not in parts]
        unread = [key for key in unread if key not in elsewhere]
        if elsewhere:
            print_log(
                f'{report.origin}: parts that {model.method} does not have are left out: {by_part(elsewhere)}',
                'current',
                logging.WARNING,
            )
    faults = []
    if unfilled:
        faults.append(f'it leaves {len(unfilled)} parameters unfilled: {by_part(unfilled)}')
    if unread:
        faults.append(f'{len(unread)} of its keys would not be read: {by_part(unread)}')
    if faults:
        raise CheckpointError(misfit(model, source) + '; '.join(faults))


def misfit(model: nn.Module, source: Translated) -> str:
    """How every message about a checkpoint that does not fit begins: the file, its method and the model's."""
    return f'{source.origin} holds {held_method(source)}, the config is {model.method}: '


def check_whole_base(
    origin: str,
    model: str,
    missing: Collection[str],
    unexpected: Collection[str],
    misfits: Collection[str],
    unused: Sequence[str] = (),
) -> None:
    """Holds a base that another library has read to the rule for backbones: filled wholly, and nothing unread.

    Args:
        origin: Its file.
        model: What it was read into, for the message.
        missing: Keys of the model that the file lacks.
        unexpected: Keys of the file that the model has no place for.
        misfits: Keys whose shapes differ.
        unused: Those of ``unexpected``, with ``*``, that may stay unread. Defaults to ().

    Raises:
        CheckpointError: There are keys missing, unread or of another shape; or a pattern of ``unused`` fits none.
    """
    fits = {pattern: [key for key in unexpected if fnmatchcase(key, pattern)] for pattern in unused}
    if idle := [pattern for pattern, keys in fits.items() if not keys]:
        raise CheckpointError(f'base_checkpoint.unused lists {idle[0]}, and {origin} has no unread keys of that name')
    listed = {key for keys in fits.values() for key in keys}
    unread = [key for key in unexpected if key not in listed]
    faults = [
        f'{len(keys)} {what}: {shorten(list(keys))}'
        for what, keys in (
            ('weights have other shapes', misfits),
            ('weights of the model are not in it', missing),
            ('keys of it would not be read', unread),
        )
        if keys
    ]
    if faults:
        listed_as = '; keys that may stay unread are listed as base_checkpoint.unused=[…]' if unread else ''
        raise CheckpointError(f'{origin} does not fit {model}: {"; ".join(faults)}{listed_as}')
