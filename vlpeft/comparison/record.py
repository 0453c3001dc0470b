"""The record of a run: what was run on what, what it cost and what came out, as JSON.

The keys are those of the results of ``method_comparison`` in Hugging Face PEFT (run_info, train_info, meta_info), and
``metrics`` and ``intervals`` of the task, and ``samples``, the scores that the study's figure is the mean of. A record
holds no paths of a machine and no names of its users.
"""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from vlpeft.analysis.log_summary import summarise
from vlpeft.analysis.run_log import read_run
from vlpeft.apis.build import empty_model
from vlpeft.atomic import write_atomically
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.hashing import file_sha256
from vlpeft.datasets.checking.sets import set_configs
from vlpeft.engine.config_file import read_config
from vlpeft.engine.loops.multi_task import MEAN
from vlpeft.engine.preflight import merge_overrides
from vlpeft.engine.run_record import KEY as RUN
from vlpeft.engine.run_record import code_state
from vlpeft.evaluation.functional.intervals import percentile_intervals, stratified_means
from vlpeft.evaluation.pairs import sample_scores
from vlpeft.models.parameters import count_parameters
from vlpeft.version import __version__

from .runs import Run, last_checkpoint
from .study import Study, StudyError

PACKAGES = ('vlpeft', 'torch', 'transformers', 'mmengine', 'onedl-mmpretrain', 'numpy')
SECTIONS = ('run_info', 'train_info', 'meta_info', 'metrics', 'intervals')


def make_record(study: Study, run: Run, noted: Mapping[str, Any], tried: Mapping[float, float]) -> dict[str, Any]:
    """The record of a run that has ended.

    Args:
        study: Its study.
        run: The run.
        noted: What :func:`vlpeft.comparison.runs.evaluate` returned.
        tried: The validation's figure of each learning rate that was tried.
    """
    cfg = read_config(run.method.config)
    merge_overrides(cfg, run.options)
    counts = count_parameters(empty_model(run.method.config, run.options))
    result, trained = noted['result'], run.method.trains
    log = read_run(run.folder) if trained else None
    summary = summarise(log, log.names) if trained else {}
    samples = sample_section(run.folder / 'result.json', parts_of(cfg, study.metric), result['metrics'])
    return dict(
        run_info=dict(
            created_at=datetime.now(timezone.utc).isoformat(timespec='seconds'),
            total_time=noted['seconds'],
            experiment_name=f'{study.name}/{run.method.name}/seed{run.seed}',
            peft_branch=None,
            train_config=dict(
                config=run.method.config.name,
                fingerprint=run.fingerprint,
                seed=run.seed,
                learning_rate=run.rate,
                learning_rates_tried={f'{rate:g}': score for rate, score in tried.items()},
                batch_size=cfg.train_dataloader.batch_size if trained else None,
                steps=summary.get('steps'),
            ),
            peft_config=_plain(cfg.model.get('adapter')),
            error_msg='',
            **code_of(run),
        ),
        train_info=dict(
            # Of an accelerator; None on a CPU, where the process's resident memory is measured.
            accelerator_memory_reserved_avg=None,
            accelerator_memory_max=_bytes(summary.get('peak_memory_mib')),
            accelerator_memory_reserved_99th=None,
            resident_memory_max=noted['peak_rss'],
            train_time=noted['seconds'],
            seconds_per_step=summary.get('seconds_per_step'),
            was_resumed=noted['resumed'],
            file_size=trained_bytes(run) if trained else 0,
            num_trainable_params=counts['trainable'] if trained else 0,
            num_total_params=counts['total'],
            status='success',
            metrics=_curves(log) if trained else [],
        ),
        meta_info=dict(
            model_info=dict(base=_bases(cfg)),
            dataset_info=_files(cfg),
            package_info={name: _version(name) for name in PACKAGES},
            system_info=dict(
                system=platform.system(),
                machine=platform.machine(),
                threads=torch.get_num_threads(),
                accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            ),
            pytorch_info=torch.__version__,
        ),
        metrics=result['metrics'],
        intervals={**interval_of_mean(study.metric, samples), **result.get('intervals', {})},
        samples=samples,
    )


def parts_of(cfg: Config, figure: str) -> list[str]:
    """The figures that a study's figure is the mean of: those of the tasks, or itself alone."""
    return list(cfg.test_cfg.main.values()) if figure == MEAN else [figure]


def interval_of_mean(figure: str, samples: Mapping[str, Any] | None) -> dict[str, list[float]]:
    """The 95 % interval of a mean over tasks, each of which is resampled on its own; of another figure none."""
    if samples is None or 'strata' not in samples:
        return {}
    drawn = stratified_means(np.array(samples['scores'])[:, None], samples['strata'], samples['units'])
    return {figure: percentile_intervals(drawn)[0].tolist()}


def sample_section(path: Path, figures: Sequence[str], metrics: Mapping[str, float]) -> dict[str, Any] | None:
    """The scores whose mean the study's figure is, for paired comparisons: hash of the samples' names, number of the
    unit that each belongs to (an image with several questions is one), and score. Of several figures, whose mean it is,
    ``strata`` says which each belongs to. None where one is no mean over samples.
    """
    parts = [figure in metrics and sample_scores(path, figure, metrics[figure]) for figure in figures]
    if not all(parts):
        return None
    names, units, scores = ([one for part in parts for one in part[column]] for column in range(3))
    strata = [place for place, part in enumerate(parts) for _ in part[0]]
    known = None not in units
    number = {unit: place for place, unit in enumerate(dict.fromkeys(zip(strata, units)))}
    return dict(
        sha256=hashlib.sha256('\n'.join(names).encode()).hexdigest(),
        units=[number[unit] for unit in zip(strata, units)] if known else None,
        scores=[round(score, 4) for score in scores],
        **(dict(strata=strata) if len(parts) > 1 else {}),
    )


def write_record(record: Mapping[str, Any], folder: Path) -> Path:
    """Writes ``{method}_seed{n}.json``; returns its path."""
    _, method, seed = record['run_info']['experiment_name'].split('/')
    path = folder / f'{method}_{seed}.json'
    text = json_text(record)
    write_atomically(path, lambda part: Path(part).write_text(text, encoding='utf-8'))
    return path


def json_text(record: Mapping[str, Any]) -> str:
    """JSON with a line for each entry, and one for a whole list of numbers."""
    text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True)
    numbers = r'(?:\s*-?\d[\d.e+-]*,?)+\s*'
    return re.sub(rf'\[({numbers})\]', lambda match: f'[{" ".join(match[1].split())}]', text) + '\n'


def read_records(study: Study, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Records of a study by method, in its order, and by seed; those of other seeds, and methods without, are left out.

    Raises:
        StudyError: A file is no record.
    """
    found = {}
    for name in study.methods:
        records = []
        for path in sorted(folder.glob(f'{name}_seed*.json'), key=lambda path: int(path.stem.rpartition('seed')[2])):
            try:
                record = json.loads(path.read_text(encoding='utf-8'))
                missing = [section for section in SECTIONS if section not in record]
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise StudyError(f'{path} is no record: {error}') from error
            if missing:
                raise StudyError(f'{path} is no record: it has no {missing[0]}')
            if record['run_info']['train_config']['seed'] in study.seeds:
                records.append(record)
        if records:
            found[name] = records
    return found


def code_of(run: Run) -> dict[str, Any]:
    """Commit of the code that trained a run, as its checkpoint says, and whether files differed from it; of what is not
    trained, those of the code that is here. None where there was no git.
    """
    if run.method.trains:
        found = Checkpoint.read(run.folder / last_checkpoint(run)).meta[RUN]['code']
    else:
        found = code_state()
    return found or dict(commit=None, dirty=None)


def trained_bytes(run: Run) -> int:
    """Bytes of the trained tensors in the last checkpoint, without momentum copies and queues of features."""
    weights = Checkpoint.read(run.folder / last_checkpoint(run)).weights
    kept = [value for name, value in weights.items() if not name.startswith(('momentum.', 'queue.'))]
    return sum(value.numel() * value.element_size() for value in kept)


def _curves(log) -> list[dict[str, Any]]:
    """Points of loss and validation, for the learning curves."""
    shown = {name: curve for name, curve in log.training.items() if name == 'loss'} | log.validation
    return [
        dict(name=name, steps=curve.steps.tolist(), values=[round(float(value), 5) for value in curve.values])
        for name, curve in shown.items()
    ]


def _bases(cfg: Config) -> list[dict[str, str]]:
    base = cfg.model.get('base_checkpoint') or {}
    sources = [base['source']] if 'source' in base else [one['source'] for one in base.values() if one]
    return [dict(name=Path(source).name, sha256=file_sha256(source)) for source in sources if Path(source).is_file()]


def _files(cfg: Config) -> dict[str, dict[str, Any]]:
    """Annotation files by split, or by split and task: name, lines, hash."""
    found = {}
    for label, dataset in set_configs(cfg):
        path = Path(dataset.get('data_root', ''), dataset.get('ann_file', ''))
        if path.is_file():
            lines = len(path.read_text(encoding='utf-8').splitlines())
            found[label] = dict(name=path.name, lines=lines, sha256=file_sha256(path))
    return found


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else int(mib * 2**20)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _version(name: str) -> str | None:
    try:
        return __version__ if name == 'vlpeft' else version(name)
    except PackageNotFoundError:
        return None
