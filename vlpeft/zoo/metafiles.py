"""What is wrong with the zoo's metafiles, beyond what reading them refuses."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlpeft.engine.config_file import read_plain

from .folder import INDEX, ZooError, zoo_root
from .model_index import ZooModel, read_bases, read_zoo

MODEL_KEYS = {'Name', 'In Collection', 'Config', 'Base', 'Metadata', 'Weights', 'SHA256', 'Size', 'Results'}
COUNTS = ('Parameters', 'Trainable Parameters')
TEXTS = ('Task', 'Training Data')
RESULT_KEYS = ('Task', 'Dataset', 'Metrics', 'Source')
SOURCES = ('paper', 'ours')


def metafile_faults() -> list[str]:
    """One line for each fault: duplicate names, configs that do not exist or are not listed, unknown bases and keys,
    missing keys, figures without a source, published files without hash or size. Empty where all is well.

    A metafile that cannot be read at all gives one line; the others are then not looked at.
    """
    root = zoo_root()
    try:
        models, bases = read_zoo(), read_bases()
    except ZooError as error:
        return [str(error)]
    faults = [line for name, model in models.items() for line in _model_faults(name, model)]
    faults += [
        f'{name}: SHA256 has {len(base.sha256)} digits, not 64'
        for name, base in bases.items()
        if base.sha256 is not None and len(base.sha256) != 64
    ]
    faults += _unlisted(root, models)
    for pattern in read_plain(root / INDEX)['Import']:
        for path in sorted(root.glob(pattern)):
            faults += (f'{path.relative_to(root)}: {fault}' for fault in _file_faults(root, read_plain(path)))
    return faults


def _model_faults(name: str, model: ZooModel) -> Iterator[str]:
    for key in COUNTS:
        if not isinstance(model.metadata.get(key), int):
            yield f'{name}: Metadata: {key!r} is no whole number'
    for key in TEXTS:
        if not isinstance(model.metadata.get(key, ''), str):
            yield f'{name}: Metadata: {key!r} is no text'
    if model.weights is not None and (len(model.weights.sha256 or '') != 64 or not model.weights.size):
        yield f'{name}: Weights need SHA256 (64 digits) and Size (bytes)'
    for number, result in enumerate(model.results, start=1):
        where = f'{name}: result {number}'
        if set(result) != set(RESULT_KEYS):
            yield f'{where} has {", ".join(result)}; the keys are {", ".join(RESULT_KEYS)}'
            continue
        if result['Source'] not in SOURCES:
            yield f'{where}: Source is {result["Source"]!r}, not one of {", ".join(SOURCES)}'
        metrics = result['Metrics']
        if not metrics or not all(isinstance(value, (int, float)) for value in metrics.values()):
            yield f'{where}: Metrics are names with one number each'


def _unlisted(root: Path, models: Mapping[str, ZooModel]) -> Iterator[str]:
    listed = Counter(model.config.relative_to(root) for model in models.values())
    recipes = [path.relative_to(root) for path in root.glob('configs/[!_]*/**/*.py') if not path.name.startswith('_')]
    yield from (f'{path}: no metafile lists it' for path in sorted(recipes) if path not in listed)
    yield from (f'{path}: listed {count} times' for path, count in listed.items() if count > 1)


def _file_faults(root: Path, content: Mapping[str, Any]) -> Iterator[str]:
    collections = {collection.get('Name'): collection for collection in content.get('Collections', [])}
    for name, collection in collections.items():
        readme = collection.get('README')
        if readme is None or not (root / readme).is_file():
            yield f'collection {name!r}: README is {readme!r}, which is no file'
    for model in content['Models']:
        if model.get('In Collection') not in collections:
            yield f'{model["Name"]}: In Collection is {model.get("In Collection")!r}, not one of {list(collections)}'
        if unknown := sorted(set(model) - MODEL_KEYS):
            yield f'{model["Name"]}: unknown key {unknown[0]!r}; the keys are {", ".join(sorted(MODEL_KEYS))}'
    unused = set(collections) - {model.get('In Collection') for model in content['Models']}
    yield from (f'collection {name!r} has no model' for name in sorted(unused))
