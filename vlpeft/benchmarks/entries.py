"""The benchmarks that ``run_benchmarks.py`` runs: their settings, and what the table says of their records."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
MIB = 2**20


@dataclass(frozen=True)
class Row:
    """A line of the table: what was compared, the ratio or figure, and what stands beside it."""

    what: str
    figure: str
    beside: str


@dataclass(frozen=True)
class Entry:
    """A benchmark.

    Attributes:
        name: Of its record.
        tool: In ``tools/analysis_tools``, without suffix.
        arguments: As on the command line; ``--json`` is added.
        minutes: It takes about so long on two cores.
        rows: Lines of the table from the objects that it printed.
    """

    name: str
    tool: str
    arguments: tuple[str, ...]
    minutes: float
    rows: Callable[[list[Record]], Iterator[Row]]

    @property
    def command(self) -> list[str]:
        """What is run, but for the interpreter."""
        return [f'tools/analysis_tools/{self.tool}.py', *self.arguments]


def times(gain: Record | float) -> str:
    """A ratio of medians, with the smallest and largest of a round where they are known."""
    if isinstance(gain, Mapping):
        return f'{gain["median"]:.2f} × ({gain["low"]:.2f} to {gain["high"]:.2f})'
    return f'{gain:.2f} ×'


def _training_steps(records: list[Record]) -> Iterator[Row]:
    names = dict(
        video='UniAdapter, retrieval of videos',
        image='UniAdapter, retrieval of images',
        vqa='UniAdapter, question answering',
        bart='VL-PET on BART',
        t5='VL-PET on T5',
    )
    for record in records:
        seconds = record['seconds']
        yield Row(
            f'training step of {names[record["case"]]}, against a plain restatement',
            times(record['speedup']),
            f'{seconds["ours"]:.2f} s and {seconds["plain"]:.2f} s; parameters, momentum copies and buffers '
            f"{record['resident_ratio']:.2f} of the plain way's, what is kept for the backward pass "
            f'{record["kept_ratio"]:.2f}; losses differ by {record["losses_differ_by"]:.0e}',
        )


def _rerank(records: list[Record]) -> Iterator[Row]:
    for record in records:
        speed = record['pairs_per_second']
        yield Row(
            f're-ranking, {record["case"]}, against the plain loop',
            times(record['speedup']),
            f'{speed["ours"]:.1f} and {speed["plain"]:.1f} pairs a second; {record["flop_bound"]:.1f} × fewer '
            f'operations; scores differ by {record["largest_difference"]:.0e}',
        )


def _answers(records: list[Record]) -> Iterator[Row]:
    wording = dict(ranking='ranking all of a shortlist', best='finding its best answer')
    for record in records:
        speed = record['questions_per_s']
        for name, gain in record['speed_up'].items():
            yield Row(
                f'answers of a closed list of {record["answers"]:,}: {wording[name]}, against tiling',
                times(gain),
                f'{speed[name]:.2f} and {speed["plain"]:.2f} questions a second; '
                f'{record["flop_ratio"][name]:.1f} × fewer operations; '
                f'{"the same answers" if record["same"] else "OTHER ANSWERS"}',
            )


def _decoding(records: list[Record]) -> Iterator[Row]:
    for record in records:
        yield Row(
            f"decoding behind eP-ALM's slot with a cache, OPT-{record['size']}, {record['visual_row']} row, "
            f'{record["beams"]} beam{"s" * (record["beams"] > 1)}, against recomputing',
            times(record['ratio']),
            f'{record["cached_s"]:.3f} s and {record["uncached_s"]:.3f} s for each of {record["captions"]} captions of '
            f'{record["tokens"]} tokens; logits differ by {record["logits_differ_by"]:.0e}',
        )


def _lora(records: list[Record]) -> Iterator[Row]:
    for record in records:
        yield Row(
            f"a step with our LoRA over one with Hugging Face PEFT's, {record['model']} of "
            f'{record["parameters"] / 1e6:.0f} M parameters',
            times(record['ratio']),
            f'{record["ours_s"]:.3f} s and {record["peft_s"]:.3f} s ({record["clock"]} clock, {record["pairs"]} '
            f'pairs); first losses differ by {record["losses_differ_by"]:.0e}',
        )


def _features(records: list[Record]) -> Iterator[Row]:
    for record in records:
        speed = record['items_per_second']
        yield Row(
            'stored features in one packed file, against a file for each image',
            times(record['ratio']),
            f'{speed["packed"]:,.0f} and {speed["files"]:,.0f} images a second, {record["workers"]} workers',
        )


def _readers(records: list[Record]) -> Iterator[Row]:
    for record in records:
        width, height = record['size']
        clip = f'{record["frames"]} frames of {record["seconds"]} s, {width} x {height}'
        for row in record['rows']:
            is_image = row['reader'] == 'image'
            yield Row(
                f'reading {"images" if is_image else "clips by " + row["reader"]}, {row["workers"]} workers',
                f'{row["per_second"]:,.1f} a second',
                f'{row["slowest"]:,.1f} to {row["fastest"]:,.1f}; {"JPEG of 640 x 480" if is_image else clip}',
            )
        for name in record['missing']:
            yield Row(f'reading clips by {name}', '–', 'not installed')


def _startup(records: list[Record]) -> Iterator[Row]:
    for record in records:
        for row in record['rows']:
            yield Row(
                f'start: {row["start"]}',
                f'{row["seconds"]:.2f} s',
                f'{row["fastest"]:.2f} to {row["slowest"]:.2f} s; imports '
                + (', '.join(row['imports']) or 'neither torch nor transformers'),
            )


def _checkpoints(records: list[Record]) -> Iterator[Row]:
    for record in records:
        sizes, seconds = record['bytes'], record['seconds']
        yield Row(
            f"checkpoint of {record['config']}, over the whole model's",
            times(record['share']),
            f'{sizes["trained"] / MIB:.1f} and {sizes["whole"] / MIB:.1f} MiB; saved in {seconds["save_trained"]:.2f} '
            f'and {seconds["save_whole"]:.2f} s, loaded in {seconds["load_trained"]:.2f} and '
            f'{seconds["load_whole"]:.2f} s',
        )


def _kept(records: list[Record]) -> Iterator[Row]:
    full = next(record['kept_mib'] for record in records if record['method'] == 'full')
    for record in records:
        if record['method'] != 'full':
            yield Row(
                f'what a step keeps for the backward pass: {record["method"]} on {record["model"]}, over all weights',
                times(record['kept_mib'] / full),
                f'{record["kept_mib"]:,.0f} and {full:,.0f} MiB',
            )


def _evaluation(records: list[Record]) -> Iterator[Row]:
    for record in records:
        yield Row(
            f'an evaluation of retrieval, {record["clips"]:,} clips of {record["frames"]} frames and as many texts, k '
            f'= {record["k"]}, {record["device"]}, {record["number_format"]}',
            f'{record["seconds"]:.1f} s',
            f'{record["tflop_per_s"]:.3g} TFLOP/s, {record["share_of_product"]:.0%} of what a product of two large '
            f'matrices achieves; {record["pairs"]:,} pairs matched',
        )


def _estimate(records: list[Record]) -> Iterator[Row]:
    for record in records:
        found = dict(record)
        measured = found.pop('measured')
        yield Row(
            'memory of a training step, estimated over measured',
            times(sum(found.values()) / measured),
            f'{sum(found.values()) / MIB:,.0f} and {measured / MIB:,.0f} MiB, float32 on a CPU',
        )


def _estimate_of(name: str, config: str, *sizes: str) -> Entry:
    def rows(records: list[Record]) -> Iterator[Row]:
        for row in _estimate(records):
            yield Row(f'{row.what}: {config} {" ".join(sizes)}', row.figure, row.beside)

    return Entry(f'memory_{name}', 'estimate_memory', (config, *sizes, '--measure'), 0.6, rows)


#: In the order of the table. To add one: its tool prints with --json an object, or one a line.
ENTRIES = [
    *(
        Entry(f'steps_{case}', 'benchmark_training_step', ('--cases', case, *sizes), minutes, _training_steps)
        for case, sizes, minutes in (
            ('video', ('--batch-size', '2', '--rounds', '2'), 2.5),
            ('image', ('--batch-size', '2', '--rounds', '2'), 1.5),
            ('vqa', ('--batch-size', '2', '--rounds', '2'), 1.5),
            ('bart', ('--batch-size', '8', '--rounds', '3'), 0.5),
        )
    ),
    Entry('rerank', 'benchmark_rerank', ('--rounds', '1'), 2.0, _rerank),
    Entry('answers', 'benchmark_answer_ranking', ('--rounds', '1'), 1.5, _answers),
    Entry('decoding', 'benchmark_cached_decoding', ('--captions', '32', '--beams', '1'), 1.0, _decoding),
    *(
        Entry(f'lora_{model}', 'benchmark_lora', ('--model', model, '--pairs', '15'), 0.4, _lora)
        for model in ('llama', 'bart', 'gpt2')
    ),
    Entry('kept', 'measure_step_memory', ('--model', 'bart-base'), 0.4, _kept),
    _estimate_of('retrieval', 'uniadapter/blip_msrvtt', '--batch-size', '2', '--frames', '2'),
    _estimate_of('seq2seq', 'vl_pet/vlpet-large_bart-base_vqa', '--batch-size', '16'),
    _estimate_of('perceiving', 'epalm/epalm_smollm2-135m_vit-b_vqav2', '--batch-size', '8'),
    Entry(
        'evaluation',
        'benchmark_retrieval_evaluation',
        ('uniadapter/blip_msrvtt', '--clips', '24', '--frames', '2', '--k', '8'),
        0.7,
        _evaluation,
    ),
    Entry('readers', 'benchmark_readers', (), 1.0, _readers),
    Entry('features', 'benchmark_features', ('--items', '2000'), 0.3, _features),
    Entry('startup', 'benchmark_startup', (), 1.5, _startup),
    Entry('checkpoints', 'benchmark_checkpoints', (), 0.5, _checkpoints),
]
