r"""An estimate of the device memory of a training run, before it starts.

Per device, with n devices that share everything (n = 1 unless the run is fully sharded) and b bytes per computed value:

    frozen weights     Σ numel · bytes / n                    trained weights, gradients, optimiser state: likewise
    gathered           fully sharded: embeddings, heads and adapter, and two blocks, whole, in the computing type
    buckets            data parallel without sharding: gradients once more
    casts              autocast: the blocks' weights once more in the computing type, kept for the backward pass;
                       one block of them with gradient checkpointing
    activations        tokens · N · s · b                     s = Σ over the sub-layers of a block of width D, FFN
                                                              width F: attention 5 D, FFN D + F, gated FFN D + 3 F;
                                                              under autocast the D norm inputs of each are float32
                       with gradient checkpointing            tokens · (N · D + s) · b
    logits             tokens · V · (2 b + 8)                 decoder-only models; image-text-to-text models make those
                                                              of answers alone

A vision tower in which nothing trains keeps nothing. The linear maps of a base in 4 or 8 bits count with these, their
scales not.

s counts what a block whose weights are frozen keeps for its backward pass: the norms' inputs, queries, keys, values,
the attention's output, the input of the activation function. Trained weights keep their inputs too; kernels,
workspaces, the fragments of the allocator and what libraries take are not counted. Expect the truth to be some tens of
per cent higher.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from vlpeft.sites import Block, Tower

#: Tensors of a parameter's size that an optimiser keeps; two by those that are not listed, as by AdamW.
OPTIMISER_STATES = dict(SGD=1, RMSprop=1, Adagrad=1)
GIB = 2**30


@dataclass(frozen=True)
class RunLayout:
    """What of a config decides the memory of a run.

    Attributes:
        devices: Processes.
        sharded: Whether they share weights, gradients and optimiser state.
        optimiser: Its type.
        compute: Type of activations; None: that of the weights.
        autocast: Whether it comes from autocast rather than from the weights.
        batch_size: Samples per process.
        checkpointed: Towers that recompute their activations.
        bits: Of the frozen linear maps, output embeddings aside; None: as they are built.
    """

    devices: int = 1
    sharded: bool = False
    optimiser: str = 'AdamW'
    compute: torch.dtype | None = None
    autocast: bool = False
    batch_size: int = 1
    checkpointed: tuple = ()
    bits: int | None = None

    @classmethod
    def of(cls, cfg: Mapping[str, Any], devices: int) -> 'RunLayout':
        """That of a config on ``devices`` processes."""
        strategy, wrapper = cfg.get('strategy') or {}, cfg['optim_wrapper']
        sharded = strategy.get('type') == 'FullyShardedStrategy' and devices > 1
        autocast = wrapper.get('type') == 'MixedPrecisionOptimWrapper'
        compute = wrapper.get('dtype', 'bfloat16') if autocast else None
        if sharded and strategy.get('mixed_precision'):
            compute, autocast = strategy['mixed_precision'].get('param_dtype'), False
        checkpointed = {*cfg['model'].get('gradient_checkpointing', ()), *strategy.get('gradient_checkpointing', ())}
        return cls(
            devices,
            sharded,
            wrapper['optimizer']['type'],
            compute and getattr(torch, compute),
            autocast,
            cfg['train_dataloader'].get('batch_size', 1),
            tuple(sorted(checkpointed)),
            _bits(cfg['model'].get('quantization') or {}),
        )


def _bits(quantization: Mapping[str, Any]) -> int | None:
    return 4 if quantization.get('load_in_4bit') else 8 if quantization.get('load_in_8bit') else None


def stored_per_token(block: Block, width: int, compute: torch.dtype, autocast: bool) -> int:
    """s · b of the module's equations: bytes per token that a frozen block keeps."""
    total = 0
    for sublayer in block.sublayers.values():
        linears = sublayer.linears
        if sublayer.kind == 'ffn':
            # A gated one keeps both factors of its inner product beside it.
            inner = 3 * linears['down'].in_features if 'down' in linears else linears['fc2'].in_features
        else:
            inside = linears['o'].in_features  # as wide as the queries, keys and values that BEiT does not publish
            inner = sum(linears[role].out_features if role in linears else inside for role in 'qkv') + inside
        total += inner * compute.itemsize + width * (4 if autocast else compute.itemsize)
    return total


def _bytes(params, dtype: torch.dtype | None = None) -> int:
    return sum(param.numel() * (dtype or param.dtype).itemsize for param in params)


def estimate(model: nn.Module, layout: RunLayout, tokens: int, answer: int | None = None) -> dict[str, int]:
    """Bytes per device of each row of the module's table, zero rows left out.

    Args:
        model: An :class:`AdaptedModel`, on any device, ``meta`` included.
        layout: Of the run.
        tokens: Per sample, through each tower that passes gradients on: for a language model prompt, slot or images,
            and text.
        answer: Those of which logits are made. Defaults to None, all.
    """
    share = layout.devices if layout.sharded else 1
    trained = [param for param in model.parameters() if param.requires_grad]
    frozen = [param for param in model.parameters() if not param.requires_grad]
    compute = layout.compute if layout.compute is not None else next(model.parameters()).dtype
    rows = dict(
        frozen_weights=(_bytes(frozen, layout.compute if layout.sharded else None) - _saved(model, layout.bits))
        // share,
        trained_weights=_bytes(trained) // share,
        gradients=_bytes(trained) // share,
        optimiser_state=OPTIMISER_STATES.get(layout.optimiser, 2) * _bytes(trained) // share,
    )
    blocks = {block: None for tower in model.towers.values() for block in tower.block_modules}
    if layout.sharded:
        inside = {id(param) for block in blocks for param in block.parameters()}
        rest = [param for param in model.parameters() if id(param) not in inside]
        sizes = sorted(_bytes(block.parameters(), compute) for block in blocks)
        rows['gathered'] = _bytes(rest, compute) + sum(sizes[-2:])
    elif layout.devices > 1:
        rows['buckets'] = rows['gradients']
    rows.update(casts=0, activations=0, logits=0)
    for name, tower in model.towers.items():
        if model.tower_paths[name].partition('.')[0] not in model.no_grad_parts and _keeps(model, name):
            _add_tower(rows, tower, layout, tokens * layout.batch_size, compute, name in layout.checkpointed)
            if tower.is_decoder_only:
                counted = layout.batch_size * (tokens if answer is None else answer)
                rows['logits'] += counted * _words(model, name) * (2 * compute.itemsize + 8)
    return {name: value for name, value in rows.items() if value}


def _keeps(model: nn.Module, name: str) -> bool:
    """Whether a tower keeps activations: a vision tower reads no other, so it does if something in it trains."""
    trains = any(param.requires_grad for block in model.towers[name].block_modules for param in block.parameters())
    return name != 'vision' or trains or name in getattr(model, 'adapter_towers', {}).values()


def _words(model: nn.Module, name: str) -> int:
    """Rows of the output embeddings of a language model, which are its own or those of the model around it."""
    parts = model.tower_paths[name].split('.')
    around = (model.get_submodule('.'.join(parts[:end])) for end in range(len(parts), 0, -1))
    heads = (module.get_output_embeddings() for module in around if hasattr(module, 'get_output_embeddings'))
    return next((head.out_features for head in heads if head is not None), 0)


def _saved(model: nn.Module, bits: int | None) -> int:
    """Bytes that fewer bits save in frozen linear maps; transformers leaves output embeddings as they are."""
    if bits is None:
        return 0
    heads = {module.get_output_embeddings() for module in model.modules() if hasattr(module, 'get_output_embeddings')}
    maps = [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith('adapter.') and module not in heads
    ]
    return sum(weight.numel() * (8 * weight.itemsize - bits) // 8 for weight in maps if not weight.requires_grad)


def _add_tower(
    rows: dict[str, int], tower: Tower, layout: RunLayout, tokens: int, compute: torch.dtype, checkpointed: bool
) -> None:
    stored = [stored_per_token(block, tower.width, compute, layout.autocast) for block in tower.blocks]
    inputs = len(stored) * tower.width * (4 if layout.autocast else compute.itemsize)
    rows['activations'] += tokens * (inputs + max(stored) if checkpointed else sum(stored))
    if layout.autocast:
        sizes = [_bytes(block.parameters(), compute) for block in tower.block_modules]
        rows['casts'] += max(sizes) if checkpointed else sum(sizes)


def evaluation_bytes(model: nn.Module, layout: RunLayout) -> int:
    """Weights per device in evaluation, for which a sharded model is gathered whole."""
    return _bytes(model.parameters(), layout.compute if layout.sharded else None) - _saved(model, layout.bits)


def build_on_meta(cfg: Config) -> nn.Module:
    """The model of a config without weights, tokenizer or memory."""
    from vlpeft.registry import MODELS

    with torch.device('meta'):
        return MODELS.build({**cfg.model, 'base_checkpoint': None})


def table(rows: Mapping[str, int], model: nn.Module, layout: RunLayout, tokens: int, answer: int | None = None) -> str:
    """The estimate as lines of text."""
    how = 'fully sharded' if layout.sharded else 'not sharded'
    counted = '' if answer is None else f', {answer} of them answers'
    lines = [
        f'{layout.devices} device{"s" * (layout.devices > 1)}, {how}, {layout.batch_size} samples of {tokens} '
        f'tokens each{counted}, {layout.optimiser}; recomputed: {", ".join(layout.checkpointed) or "nothing"}'
    ]
    lines += [f'{name.replace("_", " "):<18}{value / GIB:>9.3f} GiB' for name, value in rows.items()]
    lines.append(
        f'{"training":<18}{sum(rows.values()) / GIB:>9.3f} GiB per device, an estimate without kernels and libraries'
    )
    lines.append(f'{"evaluation":<18}{evaluation_bytes(model, layout) / GIB:>9.3f} GiB of weights per device')
    return '\n'.join(lines)
