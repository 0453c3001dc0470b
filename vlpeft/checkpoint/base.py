"""The base: the pretrained weights under an adapter, loaded the same way in every run."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmengine.logging import print_log
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .constants import constants
from .coverage import by_part, unread_keys, weight_names
from .download import fetch
from .errors import CheckpointError
from .fit import fit, fit_model
from .identity import file_identity, joint_identity
from .load import put
from .places import tower_paths
from .report import LoadReport
from .tied import tied_names, unique_state
from .translate import translate
from .unread import check_read


class Base(NamedTuple):
    """A loaded base: its ``name`` and ``sha256``, which checkpoints record, the ``keys`` that it filled, and those of
    them of which it has the first rows only (``grown``: key -> rows).
    """

    identity: dict[str, str]
    keys: frozenset[str]
    grown: Mapping[str, int]


class BaseFile(NamedTuple):
    """What one file of a base gives to a model, which it is not in yet: name and hash, state dict, report."""

    identity: dict[str, str]
    state: Mapping[str, Tensor]
    report: LoadReport


def load_base(
    model: nn.Module,
    source: str | None = None,
    sha256: str | None = None,
    unused: Sequence[str] = (),
    **parts: Mapping[str, str],
) -> Base:
    """Loads a base of any dialect into a new model: one file, or one for each part.

    Args:
        model: Its backbones must be filled wholly. Heads and method are filled where the file has them, and are left to
            a checkpoint or to training where it has not.
        source: Path or URL of one file for the whole model. Defaults to None, for ``parts``.
        sha256: Expected hash of that file. Defaults to None, unchecked.
        unused: Keys of the file inside backbones, by our names and with ``*``, that may stay unread. Defaults to ().
        **parts: ``vision=dict(source=…, sha256=…, unused=…)``, one for each backbone and any head. Only the weights
            of the named part are taken from its file, and all of them must be in it. The other heads stay as
            initialised. A file of one tower fills the part that it is named for, whatever that is called.

    Returns:
        The base; of several files the names joined by ``+`` and the hash of their hashes, each once, in the order of
        the model's parts.

    Raises:
        CheckpointError: Another hash, geometry or layout; both forms at once; a backbone without a source; or keys
            inside a named part (of one file, a backbone) that the model has no place for.
    """
    files = read_base(model, source, sha256, unused, **parts)
    for _, state, report in files:
        put(model, state, report)
        # What the base lacks is no fault yet: a checkpoint may fill it, and what then stays random is said.
        report.settle(())
        print_log(str(report), 'current', logging.WARNING if report.new else logging.INFO)
    return Base(
        joint_identity([file.identity for file in files]),
        frozenset(key for file in files for key in file.report.loaded),
        {key: rows for file in files for key, rows in file.report.grown.items()},
    )


def read_base(
    model: nn.Module,
    source: str | None = None,
    sha256: str | None = None,
    unused: Sequence[str] = (),
    **parts: Mapping[str, str],
) -> list[BaseFile]:
    """What :func:`load_base` puts into a model, in the order of its parts. Arguments and errors: there."""
    if source is not None:
        if parts:
            raise CheckpointError(f'base_checkpoint has a source of its own and also {", ".join(parts)}; choose one')
        return [_read_whole(model, source, sha256, unused)]
    if unused:
        raise CheckpointError(
            'base_checkpoint.unused goes with base_checkpoint.source; of a part it is, for instance, '
            'base_checkpoint.vision.unused'
        )
    there = [*model.backbones, *model.heads]
    unknown = [name for name in parts if name not in there]
    bare = [name for name in model.backbones if name not in parts]
    if unknown or bare:
        raise CheckpointError(
            f'base_checkpoint names {", ".join(parts) or "nothing"}; it takes source=… for the whole '
            f'model, or a source for each of the backbones {", ".join(model.backbones)} and, if '
            f'wanted, of the heads {", ".join(model.heads)}'
        )
    return [_read_part(model, name, **parts[name]) for name in there if name in parts]


def _read_whole(model: nn.Module, source: str, sha256: str | None, unused: Sequence[str]) -> BaseFile:
    path = fetch(source, sha256=sha256)
    found = translate(Checkpoint.read(path), keys=weight_names(model))
    state, report = fit_model(found, model, model.backbones)
    check_read(report, constants(model), model.backbones, unused, 'base_checkpoint.unused')
    if unread := unread_keys(model, report, found):
        print_log(
            f'the base {path} holds {len(unread)} keys that {model.method} does not read: {by_part(unread)}',
            'current',
            logging.WARNING,
        )
    return BaseFile(file_identity(path), state, report)


def _read_part(
    model: nn.Module, part: str, source: str, sha256: str | None = None, unused: Sequence[str] = ()
) -> BaseFile:
    path = fetch(source, sha256=sha256)
    fixed = constants(model)
    target = {
        name: value for name, value in unique_state(model).items() if name.startswith(f'{part}.') and name not in fixed
    }
    towers = [part, *(tower for tower in tower_paths(model) if tower.startswith(f'{part}.'))]
    source = translate(Checkpoint.read(path), keys=target)
    state, report = fit(source, target, towers=towers, strict_parts=(part,), tied=tied_names(model))
    check_read(report, fixed, (part,), unused, f'base_checkpoint.{part}.unused')
    for name in [name for name in report.parts if name != part]:
        if keys := report.parts.pop(name).unexpected:
            report.ignored.setdefault(f'only {part} is taken from this file', []).extend(keys)
    return BaseFile(file_identity(path), state, report)
