"""What an attached adapter trains and where it acts, as text."""

from collections import Counter
from typing import TYPE_CHECKING

from vlpeft.sites import below

if TYPE_CHECKING:
    from .handle import AttachedAdapter


def describe_adapter(adapter: 'AttachedAdapter') -> str:
    """One line for each set, role and tower, and the sites; what ``print(adapter)`` shows."""
    rows: Counter = Counter()
    total, size = 0, Counter()
    for name, param in adapter.all_parameters():
        total += param.numel()
        if param.requires_grad:
            owner = name.split('.')[1] if name.startswith('sets.') else 'of the model'
            key = owner, adapter.tower_of(name), adapter.role_of(name)
            rows[key] += param.numel()
            size[key] += param.numel() * param.element_size()
    trained = sum(rows.values())
    active = adapter.hooks.switch.active
    lines = [
        f'{type(adapter.model).__name__}: {trained:,} of {total:,} parameters train '
        f'({_percent(trained, total)}, {sum(size.values()):,} bytes)',
    ]
    for (owner, tower, role), count in rows.items():
        share, weighs = _percent(count, total), size[owner, tower, role]
        lines.append(f'  {owner:<12} {tower:<10} {role:<16} {count:>12,}  {share:>9}  {weighs:>12,} bytes')
    for name, config in adapter.configs.items():
        methods = ' + '.join(type(part).__name__ for part in adapter.methods(name))
        methods = methods or 'no method'
        state = 'merged into the weights' if name in adapter.merged else 'active' if name == active else 'not active'
        lines.append(f'set {name!r}: {methods}, {state}{", acts at" if config else ""}')
        lines += [f'  {place}' for place in _places(adapter, name)]
    return '\n'.join(lines)


def _percent(part: int, whole: int) -> str:
    return f'{100 * part / whole:.4f} %'


def _places(adapter: 'AttachedAdapter', name: str) -> list[str]:
    """Modules that are written: those outside of all blocks, by their names in the model, and those in blocks, by their
    names below the block, with their depths.
    """
    depths: dict[tuple[str, str], list[int]] = {}
    outside: dict[tuple[str, str], None] = {}
    for edit in adapter.hooks.attachments[name].edits:
        tower = adapter.towers[edit.tower]
        if edit.depth is None:
            outside[edit.tower, below(adapter.paths[edit.tower], edit.tap.path) or 'the model'] = None
            continue
        inside = edit.tap.path.removeprefix(f'{tower.block_path}.{edit.depth}').removeprefix('.')
        depths.setdefault((edit.tower, inside or 'the block'), []).append(edit.depth)
    return [f'{tower:<10} {path}' for tower, path in outside] + [
        f'{tower:<10} {path}: {_ranges(sorted(set(found)))} of {len(adapter.towers[tower].blocks)} blocks'
        for (tower, path), found in depths.items()
    ]


def _ranges(numbers: list[int]) -> str:
    """``0-3, 7`` of 0, 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ', '.join(f'{run[0]}-{run[-1]}' if len(run) > 1 else f'{run[0]}' for run in runs)
