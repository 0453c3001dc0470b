"""What a config still needs on this machine: data, base, tokenizer, libraries."""

from collections.abc import Iterator

from vlpeft.checkpoint.download import cached_file
from vlpeft.engine.packing import share_packing
from vlpeft.engine.preflight import ConfigError, base_sources, check_run
from vlpeft.engine.run_config import RunConfig
from vlpeft.zoo.config_names import find_config

from .findings import BROKEN, MISSING, NOTE, OK, Finding, one_line


def check_recipe(name: str) -> Iterator[Finding]:
    """All that a training run and a test of a config would miss; nothing is downloaded.

    Args:
        name: What :func:`~vlpeft.zoo.config_names.find_config` understands.

    Raises:
        ZooError: There is no such config.
    """
    path = find_config(name)
    try:
        cfg = RunConfig.read(path)
    except Exception as error:  # noqa: BLE001  a config is a program
        yield Finding(name, BROKEN, f'{path} cannot be read: {one_line(error)}')
        return
    share_packing(cfg)
    problems: dict[str, None] = {}
    for phase in ('train', 'test'):
        try:
            check_run(cfg, phase)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
    for problem in problems:
        yield Finding(name, MISSING, problem)
    for place, source in base_sources(cfg):
        if '://' in source:
            there = cached_file(source)
            text = f'{source} is in the cache' if there else f'{source} will be downloaded'
            yield Finding(name, OK if there else NOTE, f'{place}: {text}')
    if not problems:
        yield Finding(name, OK, 'its data, base and tokenizer can be found; train and test can start')
