"""How much a config computes: its passes of inference and its training step, on shapes alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from vlpeft.models.tasks import ImageTextLM, VLSeq2Seq
from vlpeft.registry import MODELS
from vlpeft.sites import in_eval_mode

from .flop_counter import FlopCounter, Label, part_labels
from .flop_inputs import CountedWords, Sizes, frames_of, picture_tokens
from .flop_passes import FlopError, passes, sizes_read, training_loss

#: What no count holds; for readers of tables.
NOT_COUNTED = (
    'norms, activations, softmax, residual sums and other operations element by element; look-ups of embeddings; '
    "the optimiser's update, momentum averages and the exchange of gradients; reading and transforming data. Attention "
    'counts all pairs of tokens, those that a mask hides too'
)


def build(model: Mapping[str, Any], device: str = 'meta', **changes: Any) -> nn.Module:
    """A config's model on ``meta``, or with random weights on another device; it needs no vocabulary."""
    options = dict(model, base_checkpoint=None, **changes)
    with torch.device(device):
        built = MODELS.build(options)
    if hasattr(built, 'tokenizer'):
        built.tokenizer = CountedWords(built.tokenizer)
    return built


def sizes_of(cfg: Mapping[str, Any], model: nn.Module, **wanted: int | str | None) -> Sizes:
    """Sizes of a sample.

    Args:
        cfg: Config.
        model: Built from it.
        **wanted: Fields of :class:`Sizes` that the user has chosen; None where he has not.

    Raises:
        FlopError: A size that does not matter to this model, or that it cannot have; or there is no such task.
    """
    chosen = {name: value for name, value in wanted.items() if value is not None}
    read = sizes_read(model)
    for name in chosen:
        if name not in read:
            raise FlopError(
                f'{type(model).__name__}: what a sample costs does not depend on {name}={chosen[name]!r}, but on '
                f'{", ".join(read)}'
            )
    found = dict(frames=frames_of(cfg), batch=cfg.get('train_dataloader', {}).get('batch_size', 1))
    found = {name: value for name, value in found.items() if name in read} | chosen
    tasks = list(getattr(model, 'tasks', {}))
    if 'task' in read and found.setdefault('task', tasks[0]) not in tasks:
        raise FlopError(f'there is no task {found["task"]!r}; there are {", ".join(tasks)}')
    fixed = getattr(getattr(model, 'text', None), 'text_length', None)  # SigLIP's texts are padded to it
    if fixed is not None and found.setdefault('text', fixed) != fixed:
        raise FlopError(f'the texts of {type(model.text).__name__} have {fixed} tokens, whatever they say')
    sizes = Sizes(**found)
    _check_lengths(model, sizes)
    if isinstance(model, ImageTextLM):
        most = replace(sizes, picture_tokens=sizes.picture_tokens or _most_tokens(cfg, model))
        each = len(picture_tokens(model, most)) // sizes.images
        if each != (sizes.picture_tokens or each):
            raise FlopError(f'an image of {type(model.vlm).__name__} has {each} tokens here, whatever its size')
        sizes = replace(most, picture_tokens=each)
    return sizes


def _check_lengths(model: nn.Module, sizes: Sizes) -> None:
    """Refuses what tables of the model have no rows for: on shapes alone no look-up fails."""
    limit = getattr(getattr(model, 'tokenizer', None), 'max_length', None)
    if limit is not None and sizes.text > limit:
        raise FlopError(f'texts of {sizes.text} tokens are cut to {limit} (model.max_text_length={limit})')
    rows = [
        len(tower.at(tower.entrance.positions).weight)
        for tower in model.towers.values()
        if tower.entrance is not None and tower.entrance.positions is not None
    ]
    length = sizes.text + sizes.answer
    if rows and length > min(rows):
        raise FlopError(f'texts and answers of {length} tokens are longer than the {min(rows)} positions of the model')
    if isinstance(model, VLSeq2Seq) and sizes.images > (most := model.visual_embedding.image.num_embeddings):
        raise FlopError(f'{sizes.images} images: the model tells at most {most} apart')


def _most_tokens(cfg: Mapping[str, Any], model: nn.Module) -> int:
    """Tokens of the largest image that a config lets pass, where the grid follows the image."""
    vision = model.towers['vision'].module.config
    if not hasattr(vision, 'spatial_merge_size') or not hasattr(vision, 'patch_size'):
        return 0
    pixels = (cfg.get('packing', {}).get('image_options') or {}).get('max_pixels')
    if pixels is None:
        return 256
    return pixels // (vision.patch_size * vision.spatial_merge_size) ** 2


def inference(model: nn.Module, sizes: Sizes) -> list[dict[str, Any]]:
    """FLOPs of each pass.

    Returns:
        For each pass ``name``, ``of`` (what one of it is for), ``parts`` by 'tower / part' and ``flops``, and
        ``base_parts`` and ``base_flops`` with the method switched off (None without one).
    """
    on = _passes(model, sizes)
    off = None
    if model.adapter is not None:
        with model.switch.use(None):
            off = _passes(model, sizes)
    rows = []
    for number, (one, counts) in enumerate(on):
        row = dict(name=one.name, of=one.of, parts=_named(counts), flops=sum(counts.values()))
        base = None if off is None else off[number][1]
        row.update(base_parts=base and _named(base), base_flops=None if base is None else sum(base.values()))
        rows.append(row)
    return rows


def _named(counts: Mapping[Label, int]) -> dict[str, int]:
    return {f'{tower} / {part}': count for (tower, part), count in sorted(counts.items()) if count}


@torch.no_grad()
def _passes(model: nn.Module, sizes: Sizes) -> list[tuple[Any, Counter]]:
    labels, counted = part_labels(model), []
    with in_eval_mode(model), model.switch.task(sizes.task):
        for one in passes(model, sizes):
            counter = FlopCounter()
            with _known_to(model, one.name), counter.labelled(labels), counter:
                one.run()
            counted.append((one, counter.flops))
    return counted


class _known_to:
    """Says which part of which model cannot be run on shapes alone."""

    def __init__(self, model: nn.Module, name: str) -> None:
        self.what = f'{type(model).__name__}, {name}'

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (NotImplementedError, RuntimeError)):
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise FlopError(f'{self.what}: cannot be counted on shapes alone: {reason}') from error


def training(model: nn.Module, sizes: Sizes) -> dict[str, float]:
    """FLOPs of a training step for each sample: ``forward`` (that of momentum weights included) and ``backward``, which
    computes activations again where the config asks for gradient checkpointing.
    """
    model.train()
    counter = FlopCounter()
    with _known_to(model, 'training step'), model.switch.task(sizes.task):
        with counter:
            loss = training_loss(model, sizes)
        forward = sum(counter.flops.values())
        if loss.requires_grad:
            with counter:
                loss.backward()
    model.zero_grad(set_to_none=True)
    total = sum(counter.flops.values())
    return dict(forward=forward / sizes.batch, backward=(total - forward) / sizes.batch, flops=total / sizes.batch)


def count(cfg: Mapping[str, Any], **wanted: int | str | None) -> dict[str, Any]:
    """All counts of a config.

    Args:
        cfg: Config.
        **wanted: As of :func:`sizes_of`.

    Returns:
        ``model``, ``sizes``, ``inference`` (:func:`inference`), ``training`` (:func:`training`), and
        ``training_all``, the same with all weights training and no method; None where the config has none or its task
        needs it. ``recomputed`` names the towers with gradient checkpointing; ``not_counted`` says what no count holds.

    Raises:
        FlopError: As of :func:`sizes_of` and :func:`~vlpeft.analysis.flop_passes.passes`.
    """
    settings = cfg['model']
    model = build(settings)
    sizes = sizes_of(cfg, model, **wanted)
    found = dict(
        model=model.method,
        sizes={name: value for name, value in vars(sizes).items() if value},
        inference=inference(model, sizes),
        training=training(model, sizes),
        recomputed=list(settings.get('gradient_checkpointing', ())),
        not_counted=NOT_COUNTED,
    )
    return dict(found, training_all=_all_weights(settings, sizes) if model.adapter is not None else None)


def _all_weights(settings: Mapping[str, Any], sizes: Sizes) -> dict[str, float] | None:
    try:
        model = build(settings, adapter=None, trainable='all')
    except ValueError:  # as eP-ALM's, without which nothing leads to the language model
        return None
    return training(model, sizes)
