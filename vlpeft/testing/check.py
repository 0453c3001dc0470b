"""Runs the contract on methods and families, and says which promises do not hold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import vlpeft
from vlpeft.sites import SiteError, find_towers

from .backbones import SUBJECTS
from .contract import ROWS, Case
from .subjects import Subject


class Cell(NamedTuple):
    """What came out of one method on one kind of model.

    Attributes:
        refused: Why the method cannot stand there; None where it does.
        broken: Rows that do not hold, and how.
    """

    refused: str | None
    broken: dict[str, str]


def check_cell(config: dict | list[dict], subject: Subject, rows: Sequence[str] = tuple(ROWS)) -> Cell:
    """Checks a method on a kind of model.

    Args:
        config: The method's.
        subject: The model.
        rows: Names of the rows. Defaults to all.
    """
    case = Case(subject, config)
    try:
        case.attached()
    except SiteError as error:
        return Cell(str(error), {})
    broken = {}
    for name in rows:
        try:
            ROWS[name](case)
        except Exception as error:  # whatever a row raises, it does not hold
            broken[name] = f'{type(error).__name__}: {error}'
    return Cell(None, broken)


def _probed(subject: Subject) -> dict[str, str]:
    """What is wrong with the probes of a subject's towers."""
    adapter = vlpeft.attach(subject.build().to('meta'), dict(type='LoRA', targets={}), subject.towers, check_after=0)
    try:
        adapter.check_sites()
    except Exception as error:  # whatever the backbone raises, its probe does not fit
        return dict(reaches_sites=f'{type(error).__name__}: {error}')
    return {}


def _raise(broken: Mapping[str, Mapping[str, str]]) -> None:
    lines = [f'{where}: {row}: {fault}' for where, faults in broken.items() for row, fault in faults.items()]
    if lines:
        raise AssertionError(f'{len(lines)} promises do not hold:\n' + '\n'.join(lines))


def check_method(
    config: dict | list[dict], refused: Mapping[str, str] | None = None, subjects: Mapping[str, Subject] = SUBJECTS
) -> None:
    """Checks a method on every backbone.

    Args:
        config: The method's, registered in :data:`vlpeft.registry.ADAPTERS`.
        refused: Backbones on which the method cannot stand, and a part of the message with which it says so. Defaults
            to none.
        subjects: The backbones. Defaults to those of vlpeft.

    Raises:
        AssertionError: Names every promise that does not hold, and every refusal that is not as expected.
    """
    refused = refused or {}
    found: dict[str, dict[str, str]] = {}
    for name, subject in subjects.items():
        cell = check_cell(config, subject)
        expected = refused.get(name)
        if cell.refused is None and expected is not None:
            found[name] = dict(refused=f'expected a refusal that says {expected!r}, but it attaches')
        elif cell.refused is not None and (expected is None or expected not in cell.refused):
            found[name] = dict(attaches=cell.refused)
        else:
            found[name] = cell.broken
    _raise(found)


def check_family(subject: Subject, methods: Mapping[str, dict | list[dict]] | None = None) -> None:
    """Checks a backbone with methods of every kind: linear maps, outputs of branches, gates; and, where its family
    describes a probe, that this reaches every site and needs no weights.

    Args:
        subject: The model, which a family describes.
        methods: Configs by name. Defaults to LoRA, Bottleneck and Gate at all sites, and Bottleneck at each part
            outside of the blocks.

    Raises:
        AssertionError: Names every promise that does not hold.
    """
    try:
        towers = list(find_towers(subject.build(), subject.towers).values())
    except SiteError as error:
        raise AssertionError(f'no promise holds: {error}') from error
    outside = {kind for tower in towers for kind in tower.outside}
    methods = methods or dict(
        lora=dict(type='LoRA', rank=2, targets={}),
        bottleneck=dict(type='Bottleneck', bottleneck=3, targets={}),
        gate=dict(type='Gate', granularity='middle_x', targets={}),
        **{kind: dict(type='Bottleneck', bottleneck=3, targets=dict(kinds=[kind])) for kind in sorted(outside)},
    )
    found = {}
    if all(tower.probe is not None for tower in towers):
        found['probe'] = _probed(subject)
    for name, config in methods.items():
        cell = check_cell(config, subject)
        found[name] = cell.broken if cell.refused is None else dict(attaches=cell.refused)
    _raise(found)
