"""What ``vlpeft doctor`` looks at: libraries, codecs, devices, folders and the network, and what a config needs."""

from collections.abc import Iterator, Sequence
from importlib import import_module

from vlpeft.zoo.folder import ZooError

from .findings import BROKEN, Finding, one_line

#: Modules of this package, each with a function ``check_<name>``.
CHECKS = ('libraries', 'media', 'machine')


def examine(configs: Sequence[str] = ()) -> Iterator[Finding]:
    """Looks at one thing after the other. Nothing is imported before, so that a broken library is found like the rest.

    Args:
        configs: Configs whose data, base and tokenizer must be there, too. Defaults to ().

    Raises:
        ZooError: There is no such config.
    """
    for name in CHECKS:
        yield from _guarded(name)
    for config in configs:
        yield from _guarded('recipe', config)


def _guarded(name: str, *arguments: str) -> Iterator[Finding]:
    try:
        check = getattr(import_module(f'.{name}', __name__), f'check_{name}')
        yield from check(*arguments)
    except ZooError:
        raise
    except Exception as error:  # noqa: BLE001  a broken library raises anything
        yield Finding(' '.join((name, *arguments)), BROKEN, f'cannot be looked at: {one_line(error)}')
