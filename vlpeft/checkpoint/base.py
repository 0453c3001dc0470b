"""The base: the pretrained weights under an adapter, loaded the same way in every run."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mmengine.logging import print_log
from torch import Tensor, nn

from .coverage import by_part, unread_keys
from .download import fetch
from .errors import CheckpointError
from .files import read_checkpoint
from .identity import base_identity
from .load import fit, put
from .report import LoadReport
from .tied import tied_names, unique_state
from .unread import check_read


class Base(NamedTuple):
    """A loaded base: its ``name`` and ``sha256``, which checkpoints record, the ``keys`` that it filled, and those of
    them of which it has the first rows only (``grown``: key -> rows).
    """

    identity: dict[str, str]
    keys: frozenset[str]
    grown: Mapping[str, int]


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
        **parts: ``vision=dict(source=…, sha256=…, unused=…)``, one for each backbone and any head. Only the parameters
            of the named part are taken from its file, and all of them must be in it. The other heads stay as
            initialised.

    Returns:
        The base; of several files the names joined by ``+`` and the hash of their hashes, each once, in the order of
        the model's parts.

    Raises:
        CheckpointError: Another hash, geometry or layout; both forms at once; a backbone without a source; or keys
            inside a named part (of one file, a backbone) that the model has no place for.
    """
    if source is not None:
        if parts:
            raise CheckpointError(f'base_checkpoint has a source of its own and also {", ".join(parts)}; choose one')
        path = fetch(source, sha256=sha256)
        checkpoint = read_checkpoint(path)
        state, report = fit(
            checkpoint, unique_state(model), strict_parts=model.backbones, origin=str(path), tied=tied_names(model)
        )
        check_read(report, _buffers(model), model.backbones, unused, 'base_checkpoint.unused')
        if unread := unread_keys(model, report, checkpoint):
            print_log(
                f'the base {path} holds {len(unread)} keys that {model.method} does not read: {by_part(unread)}',
                'current',
                logging.WARNING,
            )
        return _put(model, state, report, path)
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
    bases = [_load_part(model, name, **parts[name]) for name in there if name in parts]
    files = {base.identity['sha256']: base.identity['name'] for base in bases}
    sha256 = next(iter(files)) if len(files) == 1 else hashlib.sha256(''.join(files).encode()).hexdigest()
    keys = frozenset().union(*(base.keys for base in bases))
    grown = {key: rows for base in bases for key, rows in base.grown.items()}
    return Base(dict(name=' + '.join(files.values()), sha256=sha256), keys, grown)


def _load_part(model: nn.Module, part: str, source: str, sha256: str | None = None, unused: Sequence[str] = ()) -> Base:
    path = fetch(source, sha256=sha256)
    # Buffers of towers are constants of their geometry, which some files hold for another one.
    target = {name: value for name, value in model.named_parameters() if name.startswith(f'{part}.')}
    state, report = fit(path, target, strict_parts=(part,), tied=tied_names(model))
    check_read(report, _buffers(model), (part,), unused, f'base_checkpoint.{part}.unused')
    for name in [name for name in report.parts if name != part]:
        if keys := report.parts.pop(name).unexpected:
            report.ignored.setdefault(f'only {part} is taken from this file', []).extend(keys)
    return _put(model, state, report, path)


def _put(model: nn.Module, state: Mapping[str, Tensor], report: LoadReport, path: Path) -> Base:
    put(model, state, report)
    # What the base lacks is no fault yet: a checkpoint may fill it, and what then stays random is said.
    report.settle(())
    print_log(str(report), 'current', logging.WARNING if report.new else logging.INFO)
    return Base(base_identity(path), frozenset(report.loaded), report.grown)


def _buffers(model: nn.Module) -> frozenset[str]:
    return frozenset(name for name, _ in model.named_buffers(remove_duplicate=False))
