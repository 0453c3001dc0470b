"""All about a run that can be told before its base is fetched: types, values, files, data sets, shapes, words."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from vlpeft.bases import find_base
from vlpeft.models.answer_tokens import AnswerTokens
from vlpeft.models.hub import nearest_beside
from vlpeft.models.tokenizer import TextTokenizer
from vlpeft.nearest import if_folder
from vlpeft.quiet import counted_logs
from vlpeft.registry import DATASETS, MODELS, SCOPE

from .arguments import accepted
from .errors import ConfigError
from .idle_names import idle_names
from .places import Place, places
from .types import type_problems

#: What is wrong with a config; other errors come from a part that cannot be built of shapes alone.
CONFIG_ERRORS = (ImportError, KeyError, OSError, TypeError, ValueError)
#: In every line of the log: what is built here is built again in earnest, and speaks then.
ANYTHING = ''
PHASES = dict(train=('train', 'val'), test=('test',))


def check_run(cfg: Config, phase: str, known_problems: Sequence[str] = ()) -> None:
    """Checks a run before it does anything heavy.

    Names that nothing reads are told; all types and arguments are compared with the registered classes; numbers that a
    class can judge are judged; files of the base and the data sets must be there; the data sets are made without
    reading their annotations, the model on the meta device, without memory and weights, and its tokenizer is loaded.

    Args:
        cfg: The whole config.
        phase: ``'train'`` (and validation) or ``'test'``: whose data must be there.
        known_problems: Told first. Defaults to nothing.

    Raises:
        ConfigError: It lists all problems.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'), counted_logs(ANYTHING):
        problems = [*idle_names(cfg), *type_problems(cfg)]
        wrong = {path.partition('.')[0] for path, _ in problems}
        # What has a wrong type or argument cannot be built, the rest can.
        known = [place for place in places(cfg) if place.found is not None]
        sound = [place for place in known if not any(path.startswith(place.path + '.') for path, _ in problems)]
        problems += _value_problems(sound)
        problems += _base_problems(cfg)
        problems += _data_problems(sound, PHASES[phase])
        if phase == 'train':
            problems += _best_problems(cfg, sound)
        if 'model' not in wrong:
            problems += _model_problems(cfg, phase)
    told = [f'{path}: {text}' for path, text in problems]
    # An override that does not fit its class is found here again.
    told = [*known_problems, *(line for line in told if not any(known.endswith(line) for known in known_problems))]
    if told:
        raise ConfigError(cfg.filename or 'config', told)


def check_parts(cfg: Config, *parts: str) -> None:
    """Checks types and arguments alone, for programs that build some parts of a config and run nothing.

    Args:
        cfg: The whole config.
        *parts: Top-level keys to look at, such as ``'model'``.

    Raises:
        ConfigError: It lists all problems.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or SCOPE):
        told = [f'{path}: {text}' for path, text in type_problems({key: cfg[key] for key in parts if key in cfg})]
    if told:
        raise ConfigError(cfg.filename or 'config', told)


def _value_problems(sound: list) -> Iterator[tuple]:
    """Of classes with ``check_arguments(**arguments)``, which their constructors call too."""
    for place in sound:
        check = getattr(place.found, 'check_arguments', None)
        if check is not None:
            try:
                check(**_arguments(place))
            except CONFIG_ERRORS as error:
                yield place.path, _text(error)


def _arguments(place: Place) -> dict:
    return {name: value for name, value in place.cfg.items() if name != 'type'}


def _base_problems(cfg: Config) -> Iterator[tuple]:
    # Of task models whose bases are more than files.
    check = getattr(MODELS.get(cfg.model.get('type')), 'check_source', None)
    for path, source in base_sources(cfg):
        if check is not None and path == 'model.base_checkpoint.source':
            try:
                check(source)
            except CONFIG_ERRORS as error:
                yield path, _text(error)
            continue
        if '://' not in source and not find_base(source) and not Path(source).expanduser().is_file():
            near = if_folder(source) or nearest_beside(Path(source).expanduser())
            yield path, f'there is no file {source}{near}'


def base_sources(cfg: Config) -> list[tuple[str, str]]:
    """Place and path or URL of each file that a run starts from."""
    sources = list(_sources('model.base_checkpoint', cfg.model.get('base_checkpoint')))
    return [*sources, ('load_from', cfg.load_from)] if cfg.get('load_from') else sources


def _sources(path: str, value: Any) -> Iterator[tuple]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == 'source' and isinstance(item, str):
                yield f'{path}.{name}', item
            yield from _sources(f'{path}.{name}', item)


def _data_problems(sound: list, phases: tuple) -> Iterator[tuple]:
    for place in sound:
        phase, _, rest = place.path.partition('_dataloader.')
        takes = accepted(place.found) if rest and phase in phases and place.registry is DATASETS else None
        if takes is None or 'lazy_init' not in takes:
            continue
        try:
            dataset = DATASETS.build(dict(copy.deepcopy(dict(place.cfg)), lazy_init=True))
            if hasattr(dataset, 'check_files'):
                dataset.check_files()
        except CONFIG_ERRORS as error:
            yield place.path, _text(error)


def _best_problems(cfg: Config, sound: list) -> Iterator[tuple]:
    """``'auto'`` takes the first figure of the first metric, whatever it is worth; of several tasks it is their mean,
    if there is one, whichever task comes first.
    """
    if (cfg.get('val_cfg') or {}).get('main'):
        return
    metrics = [place for place in sound if place.path.startswith('val_evaluator')]
    headline = getattr(metrics[0].found, 'headline', None) if metrics else None
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if headline and isinstance(hook, Mapping) and hook.get('save_best') == 'auto':
            prefix = metrics[0].cfg.get('prefix') or metrics[0].found.default_prefix
            yield (
                f'default_hooks.{name}.save_best',
                f"'auto' would take the first figure of {metrics[0].found.__name__}, which is not the one that it "
                f"is known by; say which, such as save_best='{prefix}/{headline}' with rule='greater'",
            )


def _model_problems(cfg: Config, phase: str) -> Iterator[tuple]:
    described = copy.deepcopy(cfg.model)
    if described.get('base_checkpoint') is not None:
        described['base_checkpoint'] = None
    try:
        with torch.device('meta'):
            model = MODELS.build(described)
    except CONFIG_ERRORS as error:
        yield 'model', _text(error)
        return
    except Exception:  # a part that needs numbers, not shapes; building it in earnest will tell
        return
    for tokenizer in vars(model).values():
        if isinstance(tokenizer, (TextTokenizer, AnswerTokens)):
            try:
                tokenizer.tokenizer
                if isinstance(tokenizer, AnswerTokens):
                    tokenizer.check_fits(model.vlm.config)
            except CONFIG_ERRORS as error:
                yield 'model', _text(error)

    if phase == 'train' and cfg.get('launcher', 'none') != 'none' and 'strategy' not in cfg:
        yield from _unused_problems(cfg.get('model_wrapper_cfg') or cfg, model)


def _unused_problems(wrapper: Mapping, model: nn.Module) -> Iterator[tuple]:
    """Data parallel processes wait for the gradient of every tensor, also of those that a batch does not use."""
    adapter = getattr(model, 'adapter', None)
    if adapter is None or wrapper.get('find_unused_parameters'):
        return
    if own := [name for name, _ in adapter.named_parameters() if adapter.task_of(name) is not None]:
        yield (
            'find_unused_parameters',
            f'must be True with several processes: {len(own)} tensors of the method, such as adapter.{own[0]}, serve '
            'one task each, and a batch of another task gives them no gradient',
        )


def _text(error: Exception) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return ' '.join(text.split()) or type(error).__name__
