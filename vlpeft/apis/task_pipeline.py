"""How a config's test reads a file: its pipeline, collation and batch size, for the task that is asked for."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.dataset import Compose

from vlpeft.datasets import ClipError
from vlpeft.datasets.checking.file_types import wrong_type
from vlpeft.datasets.readers.base import check_file
from vlpeft.engine.packing import share_packing
from vlpeft.models.tasks import Retriever
from vlpeft.registry import FUNCTIONS, MODELS, TRANSFORMS

from .media_files import KINDS, media_of

#: What the steps that load a file take.
LOADS = dict(LoadClip=('image', 'video'), LoadImages=('image',), LoadAudio=('audio',), PackChat=('image', 'video'))
#: The inferencer of what a model writes.
CALLED = dict(image='an image', video='a video', audio='a sound')
INFERENCERS = dict(pred_answer='VQAInferencer (vlpeft ask)', pred_caption='CaptionInferencer (vlpeft caption)')


class TaskPipeline(NamedTuple):
    """How a task reads its files in the test.

    Attributes:
        task: Name of the task, None where the model has one.
        output: Field of the prediction, 'pred_answer' or 'pred_caption'.
        pipeline: From a dict of ``path``, ``media`` and ``name`` (and ``question``) to a packed sample.
        media: Kinds of files that it takes: 'image', 'video', 'audio'.
        fields: What its prompt asks for beside the file.
        dataset: Config of the test set.
        collate: From packed samples to a batch.
        batch_size: Samples of a batch.
        num_workers: Processes that read.
    """

    task: str | None
    output: str
    pipeline: Compose
    media: tuple[str, ...]
    fields: tuple[str, ...]
    dataset: Mapping[str, Any]
    collate: Callable
    batch_size: int
    num_workers: int

    def sample(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """A packed sample of an item: ``path`` and what is asked.

        Raises:
            ClipError: The file cannot be read, is of a kind that the model does not take, or not what its suffix says.
        """
        path = item['path']
        check_file(path)
        media = media_of(path)
        if media not in self.media:
            what = 'neither an image, a video nor a sound by its suffix' if media is None else CALLED[media]
            takes = ' and '.join(KINDS[kind] for kind in self.media)
            raise ClipError(path, f'{what}; this model takes {takes}', 'wrong_type')
        if wrong := wrong_type(path, media):
            raise ClipError(path, wrong, 'wrong_type')
        return self.pipeline(dict(item, media=media, name=Path(path).name))


def find_pipeline(cfg: Config, name: str, output: str, known: Collection[str], task: str | None = None) -> TaskPipeline:
    """The test pipeline of a config that writes ``output``.

    Args:
        cfg: Whole config; steps that run the model's processor get its ``packing``, as in a run.
        name: Of the config, for messages.
        output: 'pred_answer' or 'pred_caption'.
        known: Fields that are given beside the file, such as 'question'.
        task: Which of several tasks. Defaults to None, the only one that fits.

    Raises:
        ValueError: The config does something else, reads what no file holds, or has several such tasks.
    """
    kind = MODELS.get(cfg.model.type)
    if kind is not None and issubclass(kind, Retriever):
        raise ValueError(f'{name}: a {cfg.model.type} finds files by texts; use RetrievalInferencer (vlpeft search)')
    loaders = cfg.get('test_dataloader')
    if not loaders:
        raise ValueError(f'{name}: there is no test_dataloader, which says how files are read')
    share_packing(cfg)
    found = [_read(cfg, loader) for loader in ([loaders] if 'dataset' in loaders else loaders.values())]
    if task is not None and task not in [one.task for one in found]:
        tasks = ', '.join(str(one.task) for one in found)
        raise ValueError(f'{name}: the test has no task {task!r}; it has {tasks}')
    fits = [one for one in found if one.output == output and task in (None, one.task)]
    if not fits:
        other = INFERENCERS[found[0].output]
        does = 'answers questions' if found[0].output == 'pred_answer' else 'describes'
        raise ValueError(f'{name}: this model {does}; use {other}')
    if len(fits) > 1:
        raise ValueError(
            f'{name}: the test has several such tasks; choose one: ' + ' or '.join(f'task={one.task!r}' for one in fits)
        )
    (one,) = fits
    _check_readable(one, name, known)
    return one


def _read(cfg: Config, loader: Mapping[str, Any]) -> TaskPipeline:
    dataset = loader['dataset']
    configs = [dict(step) for step in dataset['pipeline']]
    task = next((step['task'] for step in configs if step.get('task')), None)
    tasks = cfg.model.get('tasks') or {}
    steps = [TRANSFORMS.build(step) for step in configs]
    media = next((LOADS[step['type']] for step in configs if step['type'] in LOADS), ())
    fields = dict.fromkeys(field for step in steps for field in getattr(step, 'fields', ()))
    collate = loader.get('collate_fn') or dict(type='pseudo_collate')
    collate = collate if isinstance(collate, Mapping) else dict(type=collate)
    options = {key: value for key, value in collate.items() if key != 'type'}
    function = FUNCTIONS.get(collate['type'])
    return TaskPipeline(
        task,
        tasks.get(task, {}).get('output', 'pred_answer'),
        Compose(steps),
        media,
        tuple(fields),
        dataset,
        partial(function, **options),
        loader.get('batch_size', 1),
        loader.get('num_workers', 0),
    )


def _check_readable(one: TaskPipeline, name: str, known: Collection[str]) -> None:
    types = [type(step).__name__ for step in one.pipeline.transforms]
    if 'LoadFeatures' in types:
        raise ValueError(
            f'{name}: its test reads stored features (LoadFeatures), which a file alone does not give; choose a config '
            'whose model sees pixels, such as own_data/captions_vlpet-large_bart-base'
        )
    if 'PackChat' in types and 'ToChat' not in types:
        raise ValueError(f'{name}: this model holds conversations; use ChatInferencer')
    if not one.media:
        raise ValueError(f'{name}: no step of its test pipeline ({", ".join(types)}) is known to read a file')
    if unknown := [field for field in one.fields if field not in known]:
        raise ValueError(f'{name}: its prompt also asks for {unknown[0]!r}, which only its data set gives')
