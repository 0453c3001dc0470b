"""Runs a study: what has not ended yet, through the ordinary tools, each in a process of its own.

A run's folder is named by its method, rate, seed and a fingerprint of its whole config, so a changed config goes into a
new folder and nothing is overwritten. What ended leaves ``ended.json``; what was stopped goes on from its checkpoint.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlpeft.atomic import write_atomically
from vlpeft.engine.config_file import read_config
from vlpeft.engine.preflight import merge_overrides
from vlpeft.zoo.folder import zoo_root

from .study import Method, Study, StudyError

ENDED = 'ended.json'


class Run(NamedTuple):
    """One training, or evaluation of a base.

    Attributes:
        method: What is run.
        seed: Of data and initial weights.
        rate: Learning rate; None for what is not trained.
        options: All overrides of the config.
        fingerprint: Of the merged config.
        folder: Work folder.
    """

    method: Method
    seed: int
    rate: float | None
    options: dict[str, Any]
    fingerprint: str
    folder: Path

    @property
    def title(self) -> str:
        """What a line about the run begins with."""
        rate = '' if self.rate is None else f', rate {self.rate:g}'
        return f'{self.method.title}, seed {self.seed}{rate}'


def plan(method: Method, seed: int, rate: float | None, root: Path, fixed: bool = False) -> Run:
    """A run of a method.

    Args:
        method: What is run.
        seed: Its seed.
        rate: Learning rate; None for what is not trained.
        root: Folder of the study's runs.
        fixed: Whether the folder is ``root/<stem of the config>``, which other configs name. Defaults to False.
    """
    options = {**method.options, 'randomness.seed': seed}
    if rate is not None:
        options['optim_wrapper.optimizer.lr'] = rate
    cfg = read_config(method.config)
    merge_overrides(cfg, options)
    fingerprint = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    rated = '' if rate is None else f'_lr{rate:g}'
    name = method.config.stem if fixed else f'{method.name}{rated}_seed{seed}_{fingerprint[:8]}'
    return Run(method, seed, rate, options, fingerprint, root / name)


def read_ended(run: Run) -> dict[str, Any] | None:
    """What an ended run has noted; None if it has not ended.

    Raises:
        StudyError: The folder holds an ended run of another config.
    """
    path = run.folder / ENDED
    if not path.is_file():
        return None
    ended = json.loads(path.read_text(encoding='utf-8'))
    if ended['fingerprint'] != run.fingerprint:
        raise StudyError(
            f'{run.folder} holds a run of another config than {run.method.config} is now; move the folder away'
        )
    return ended


def run_study(
    study: Study, root: Path, recorded: Mapping[str, Sequence[Mapping]], tell: Callable[[str], None]
) -> Iterator[tuple[Run, dict[str, Any], dict[float, float]]]:
    """Runs what has no record.

    Args:
        study: What is compared.
        root: Folder of the runs; those of ``prepare`` lie in it under the names of their configs.
        recorded: Records by method. One counts if it is of the config as it is now and of the rates as they are tried.
        tell: Is given a line at the beginning and the end of each run.

    Yields:
        A run that counts, what it noted when it ended, and the validation's figure of each rate that was tried.
    """
    waiting = {
        method.name: _missing(study, method, root, recorded.get(method.name, ())) for method in study.methods.values()
    }
    if any(seeds for seeds, _ in waiting.values()):
        for method in study.prepare:
            train(plan(method, study.seeds[0], None, root, fixed=True), tell)
    for name, (seeds, scores) in waiting.items():
        method = study.methods[name]
        if not method.trains and seeds:
            run = plan(method, seeds[0], None, root)
            yield run, evaluate(run, None, tell), {}
            continue
        if seeds and not scores:
            tried = {rate: plan(method, study.seeds[0], rate, root) for rate in method.rates}
            scores = {rate: validation_score(run, train(run, tell), study.metric) for rate, run in tried.items()}
        for seed in seeds:
            run = plan(method, seed, max(scores, key=scores.get), root)
            train(run, tell)
            yield run, evaluate(run, run.folder / last_checkpoint(run), tell), scores


def run_again(study: Study, record: Mapping, root: Path, tell: Callable[[str], None]) -> float:
    """The figure of a record's run, made anew.

    Args:
        study: The record's study.
        record: With the seed and the rate of the run.
        root: Folder of this run and of those that the study prepares.
        tell: Is given a line at the beginning and the end of each run.

    Raises:
        StudyError: The config is not what it was.
    """
    name, told = record['run_info']['experiment_name'].split('/')[1], record['run_info']['train_config']
    run = plan(study.methods[name], told['seed'], told['learning_rate'], root)
    if run.fingerprint != told['fingerprint']:
        raise StudyError(f'{run.method.config} is no longer what the record of {name} was made with')
    for method in study.prepare:
        train(plan(method, study.seeds[0], None, root, fixed=True), tell)
    checkpoint = None
    if run.method.trains:
        train(run, tell)
        checkpoint = run.folder / last_checkpoint(run)
    return float(evaluate(run, checkpoint, tell)['result']['metrics'][study.metric])


def _missing(
    study: Study, method: Method, root: Path, records: Sequence[Mapping]
) -> tuple[list[int], dict[float, float]]:
    """Seeds without a record that counts, and what the rates' validations said if one is there that knows."""
    there, scores = set(), {}
    for record in records:
        told = record['run_info']['train_config']
        tried = {float(rate): score for rate, score in told['learning_rates_tried'].items()}
        if (
            set(tried) == set(method.rates)
            and told['fingerprint'] == plan(method, told['seed'], told['learning_rate'], root).fingerprint
        ):
            there.add(told['seed'])
            scores = tried
    seeds = study.seeds if method.trains else study.seeds[:1]
    return [seed for seed in seeds if seed not in there], scores


def train(run: Run, tell: Callable[[str], None]) -> dict[str, Any]:
    """Trains to the end, from the checkpoint if there is one; returns what was noted.

    Raises:
        StudyError: The tool ended with an error; its output is in ``train.log``.
    """
    ended = read_ended(run)
    if ended is not None:
        return ended
    resumed = (run.folder / 'last_checkpoint').is_file()
    tell(f'{run.title}: {"goes on" if resumed else "begins"}')
    seconds, peak = call('train.py', run, [str(run.method.config), *(['--resume'] if resumed else [])])
    before = json.loads(_text(run.folder / 'seconds.json', '[]'))
    ended = dict(
        fingerprint=run.fingerprint, seconds=sum(before) + seconds, peak_rss=peak, resumed=resumed, seed=run.seed
    )
    _write(run.folder / ENDED, ended)
    tell(f'{run.title}: trained in {seconds:.0f} s')
    return ended


def evaluate(run: Run, checkpoint: Path | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Tests a checkpoint or the base alone, or guesses; what was noted, with ``result`` of ``tools/test.py --out``."""
    result = run.folder / 'result.json'
    if run.method.guess is not None:
        from .guesses import guess

        cfg = read_config(run.method.config)
        merge_overrides(cfg, run.options)
        _write(result, guess(cfg, run.method.guess))
    elif not result.is_file():
        call('test.py', run, [str(run.method.config), str(checkpoint or 'none'), '--out', str(result)])
        tell(f'{run.title}: tested')
    noted = read_ended(run) or dict(fingerprint=run.fingerprint, seconds=0.0, peak_rss=None, resumed=False)
    return dict(noted, result=json.loads(result.read_text(encoding='utf-8')))


def call(tool: str, run: Run, arguments: list[str]) -> tuple[float, int]:
    """Runs a tool in the run's folder; returns its seconds and the most resident memory in bytes.

    Raises:
        StudyError: It ended with an error or was stopped.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    log = run.folder / f'{Path(tool).stem}.log'
    options = [
        f'{key}={value!r}' if not isinstance(value, str) else f'{key}={value}' for key, value in run.options.items()
    ]
    command = [sys.executable, str(zoo_root() / 'tools' / tool), *arguments]
    command += ['--work-dir', str(run.folder), '--cfg-options', *options]
    start = time.monotonic()
    with log.open('a', encoding='utf-8') as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()  # training saves before it ends
            process.wait()
            _add_seconds(run, time.monotonic() - start)
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if process.returncode:
        _add_seconds(run, seconds)
        last = (log.read_text(encoding='utf-8', errors='replace').strip().splitlines() or ['no output'])[-1]
        raise StudyError(f'{run.title}: {tool} ended with exit code {process.returncode}: {last} ({log})')
    return seconds, usage.ru_maxrss * 1024


def last_checkpoint(run: Run) -> str:
    """Name of the last checkpoint of a run, below its folder."""
    return (run.folder / 'last_checkpoint').read_text(encoding='utf-8').strip()


def validation_score(run: Run, ended: Mapping[str, Any], metric: str) -> float:
    """The last value of a metric in the validations of a run.

    Raises:
        StudyError: There was no validation, or it has no such figure.
    """
    from vlpeft.analysis.run_log import read_run

    curves = read_run(run.folder).validation
    if metric not in curves:
        raise StudyError(f'{run.title}: no validation has {metric}; there are {", ".join(curves) or "none"}')
    return float(curves[metric].values[-1])


def _add_seconds(run: Run, seconds: float) -> None:
    """Notes the time of a process that did not come to its end."""
    path = run.folder / 'seconds.json'
    _write(path, [*json.loads(_text(path, '[]')), seconds])


def _write(path: Path, content: Any) -> None:
    write_atomically(path, lambda part: Path(part).write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8'))


def _text(path: Path, default: str) -> str:
    return path.read_text(encoding='utf-8') if path.is_file() else default
