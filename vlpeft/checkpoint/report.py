"""What loading a checkpoint did, part by part."""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field

_SHOWN = 4


@dataclass
class PartReport:
    """Keys of one part of the model (first segment of the key).

    Attributes:
        loaded: Filled from the file, resized ones included.
        missing: In the model, not in the file; the model keeps what it had.
        unexpected: In the file, not in the model, and not declared as ignored.
        resized: Key -> old and new shape.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)


@dataclass
class LoadReport:
    """What ``load_into`` did; printed, it is a table.

    Attributes:
        origin: The file.
        dialect: Its layout.
        parts: By part, in the model's order.
        ignored: Reason -> keys of the file that the dialect leaves out on purpose.
        grown: Tables of which the file holds the first rows only -> how many; the others are as they were in the model.
        converted: Old and new number format -> how many tensors, such as ``'float16 -> float32'``.
        new: Keys that no file of this layout has; the model keeps its random values.
    """

    origin: str
    dialect: str
    parts: dict[str, PartReport] = field(default_factory=dict)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    grown: dict[str, int] = field(default_factory=dict)
    converted: Counter[str] = field(default_factory=Counter)
    new: list[str] = field(default_factory=list)

    def part(self, key: str) -> PartReport:
        """The report of the part that a key belongs to; made if new."""
        return self.parts.setdefault(key.partition('.')[0], PartReport())

    @property
    def loaded(self) -> list[str]:
        """All keys that were filled."""
        return [key for part in self.parts.values() for key in part.loaded]

    @property
    def missing(self) -> list[str]:
        """All keys of the model that the file does not fill."""
        return [key for part in self.parts.values() for key in part.missing]

    @property
    def unexpected(self) -> list[str]:
        """All keys of the file that the model does not have."""
        return [key for part in self.parts.values() for key in part.unexpected]

    @property
    def resized(self) -> dict[str, str]:
        """All resized keys with old and new shape."""
        return {key: note for part in self.parts.values() for key, note in part.resized.items()}

    def settle(self, open_keys: Container[str]) -> None:
        """Leaves among the missing ones only those that nothing else has filled."""
        for part in self.parts.values():
            part.missing = [key for key in part.missing if key in open_keys]

    def __str__(self) -> str:
        width = max(map(len, ('part', *self.parts)))
        lines = [
            f'{self.origin} ({self.dialect} layout)',
            f'  {"part":{width}}  {"loaded":>6}  {"missing":>7}  {"unexpected":>10}  {"resized":>7}',
        ]
        for name, part in self.parts.items():
            lines.append(
                f'  {name:{width}}  {len(part.loaded):6}  {len(part.missing):7}  '
                f'{len(part.unexpected):10}  {len(part.resized):7}'
            )
        lines += [f'  resized: {key} {note}' for key, note in self.resized.items()]
        lines += [f'  converted: {count} tensors {formats}' for formats, count in self.converted.items()]
        for kind in ('missing', 'unexpected'):
            for name, part in self.parts.items():
                if keys := getattr(part, kind):
                    lines.append(f'  {kind} in {name}: {shorten(keys)}')
        if self.new:
            lines.append(f'  new, of random values: {shorten(self.new)}')
        lines += [f'  not read, {reason}: {shorten(keys)}' for reason, keys in self.ignored.items()]
        return '\n'.join(lines)


def shorten(keys: list[str]) -> str:
    """The first few keys and how many more there are."""
    more = f' and {len(keys) - _SHOWN} more' if len(keys) > _SHOWN else ''
    return ', '.join(keys[:_SHOWN]) + more
