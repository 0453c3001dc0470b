"""How a chat model reads conversations: the step that packs them, from a config or from a processor alone."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.config import Config

from vlpeft.datasets.transforms import PackChat
from vlpeft.engine.packing import share_packing
from vlpeft.nearest import suggestion
from vlpeft.registry import TRANSFORMS

from .chat_questions import Request


class Packing(NamedTuple):
    """From a conversation to what the model takes.

    Attributes:
        pack: The last step of the pipeline.
        request: How the config's data ask.
        task: Whose settings answer.
        batch_size: Conversations of a batch.
    """

    pack: PackChat
    request: Request
    task: str
    batch_size: int


def packing_of(cfg: Config, name: str, task: str | None, given: Mapping[str, Any]) -> Packing:
    """What the test of a config does.

    Args:
        cfg: Whole config.
        name: Of the config, for messages.
        task: Which of several tasks. Defaults to None, the only one.
        given: Settings of :class:`PackChat` in place of the config's.

    Raises:
        ValueError: The test packs no conversations, has several tasks or not that one, or there is no such setting.
    """
    share_packing(cfg)
    found = list(_pipelines(cfg.get('test_dataloader') or {}))
    if not found:
        raise ValueError(f'{name}: its test_dataloader has no PackChat, by which conversations are read')
    tasks = list(dict.fromkeys(steps[-1].get('task') for _, steps in found))
    if len(tasks) > 1 and task is None:
        raise ValueError(f'{name}: its test has several tasks; choose one: task={" or ".join(map(repr, tasks))}')
    if task is not None and task not in tasks:
        raise ValueError(f'{name}: its test has no task {task!r}{suggestion(task, tasks)}')
    loader, steps = next(one for one in found if task in (None, one[1][-1].get('task')))
    last = dict(steps[-1])
    if last.get('task') is None:
        raise ValueError(f'{name}: its PackChat names no task, whose settings would answer')
    asking = [TRANSFORMS.build(dict(step)) for step in steps if _type(step) == 'ToChat']
    (asks,) = asking or [None]
    request = Request() if asks is None else Request(asks.prompt, asks.system)
    return Packing(build_pack({**last, **given}), request, last['task'], loader.get('batch_size', 1))


def holds_conversations(cfg: Config) -> bool:
    """Whether the test of a config reads conversations, rather than questions or files that are put into words."""
    return any(
        not any(_type(step) == 'ToChat' for step in steps) for _, steps in _pipelines(cfg.get('test_dataloader'))
    )


def build_pack(settings: Mapping[str, Any]) -> PackChat:
    """The step, whose processor is loaded.

    Raises:
        ValueError: There is no such setting, or no such processor.
    """
    known = [name for name in inspect.signature(PackChat.__init__).parameters if name != 'self']
    if unknown := [name for name in settings if name not in (*known, 'type')]:
        raise ValueError(f'packing: there is no setting {unknown[0]!r}{suggestion(unknown[0], known)}')
    pack = PackChat(**{name: value for name, value in settings.items() if name != 'type'})
    _ = pack.processor  # refused here rather than at the first question
    return pack


def _type(step: Mapping[str, Any]) -> str:
    return str(step.get('type')).rpartition('.')[2]


def _pipelines(value: Any, loader: Mapping[str, Any] | None = None) -> Iterator[tuple[Mapping, list]]:
    """Loaders and the pipelines of their sets that end with PackChat."""
    if isinstance(value, Mapping):
        loader = value if 'dataset' in value else loader
        steps = value.get('pipeline')
        if isinstance(steps, list) and steps and _type(steps[-1]) == 'PackChat':
            yield loader, steps
        for item in value.values():
            yield from _pipelines(item, loader)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _pipelines(item, loader)
