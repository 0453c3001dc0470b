r"""An estimate of the device memory of a training run, before it starts.

Per device, with n devices that share everything (n = 1 unless the run is fully sharded):

    frozen weights     Σ numel · bytes / n                    trained weights, gradients: likewise
    optimiser state    what the config's optimiser keeps, / n
    buffers            momentum copies of what trains, the queue of features, tables
    gathered           fully sharded: embeddings, heads and adapter, and two blocks, whole, in the computing type
    buckets            data parallel without sharding: gradients once more
    activations        what else a training step holds at its highest

The last is not a formula: a step of the model's own code (loss, backward pass, update) is taken on the device ``meta``,
where tensors have shapes and no values, and the storages that it holds are counted
(:mod:`vlpeft.analysis.step_memory`). So whatever a method, a loss, autocast or gradient checkpointing keeps is in it,
for texts that all have the same length. The linear maps of a base in 4 or 8 bits count with these, their scales not.

Kernels' workspaces, the fragments of the allocator and what libraries take are not counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vlpeft.analysis.flop_inputs import Sizes
from vlpeft.analysis.flops import build, sizes_of
from vlpeft.analysis.step_memory import step_bytes

GIB = 2**30


@dataclass(frozen=True)
class RunLayout:
    """What of a config decides the memory of a run.

    Attributes:
        devices: Processes.
        sharded: Whether they share weights, gradients and optimiser state.
        compute: Type of activations; None: that of the weights.
        autocast: Whether it comes from autocast rather than from the weights.
        checkpointed: Towers that recompute their activations.
        bits: Of the frozen linear maps, output embeddings aside; None: as they are built.
        attention: How models of transformers compute it, 'eager' or by fused kernels, 'sdpa'.
    """

    devices: int = 1
    sharded: bool = False
    compute: torch.dtype | None = None
    autocast: bool = False
    checkpointed: tuple = ()
    bits: int | None = None
    attention: str = 'sdpa'

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
            compute and getattr(torch, compute),
            autocast,
            tuple(sorted(checkpointed)),
            _bits(cfg['model'].get('quantization') or {}),
            'eager' if cfg['model'].get('attn_implementation') == 'eager' else 'sdpa',
        )


def _bits(quantization: Mapping[str, Any]) -> int | None:
    return 4 if quantization.get('load_in_4bit') else 8 if quantization.get('load_in_8bit') else None


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def build_for(cfg: Mapping[str, Any], layout: RunLayout) -> nn.Module:
    """The model of a config on ``meta``, which recomputes what it does in a run of this layout."""
    changes = dict(gradient_checkpointing=list(layout.checkpointed)) if layout.checkpointed else {}
    return build(cfg['model'], **changes)


def sizes_for(cfg: Mapping[str, Any], model: nn.Module, batch: int | None = None, **wanted: int | str | None) -> Sizes:
    """Sizes of a training step; ``wanted`` and errors are those of :func:`vlpeft.analysis.flops.sizes_of`."""
    batch = cfg['train_dataloader'].get('batch_size', 1) if batch is None else batch
    return replace(sizes_of(cfg, model, **wanted), batch=batch)


def estimate(
    model: nn.Module, layout: RunLayout, optim_wrapper: Mapping[str, Any], sizes: Sizes, on_cpu: bool = False
) -> dict[str, int]:
    """Bytes per device of each row of the module's table, zero rows left out.

    Args:
        model: Of :func:`build_for`; sharded, it is in the computing type afterwards.
        layout: Of the run.
        optim_wrapper: Config.
        sizes: Of the samples.
        on_cpu: Whether the device is a CPU, where attention with dropout keeps its maps. Defaults to False.

    Raises:
        FlopError: The model's task is not known, or cannot be run on shapes alone.
    """
    share = layout.devices if layout.sharded else 1
    trained = [param for param in model.parameters() if param.requires_grad]
    masters = _bytes(trained)  # what trains and its optimiser stay as they are built
    if layout.sharded and layout.compute is not None:
        model.to(layout.compute)
    frozen = [param for param in model.parameters() if not param.requires_grad]
    autocast = layout.compute if layout.autocast else None
    step = step_bytes(model, optim_wrapper, sizes, autocast, layout.attention, on_cpu)
    computed = _bytes(trained)
    rows = dict(
        frozen_weights=(_bytes(frozen) - _saved(model, layout.bits)) // share,
        trained_weights=masters // share,
        gradients=masters // share,
        optimiser_state=step.optimiser * masters // computed // share,
        buffers=_bytes(model.buffers()),
    )
    if layout.sharded:
        blocks = {block for tower in model.towers.values() for block in tower.block_modules}
        inside = {id(param) for block in blocks for param in block.parameters()}
        rest = [param for param in model.parameters() if id(param) not in inside]
        sizes_of_blocks = sorted(_bytes(block.parameters()) for block in blocks)
        rows['gathered'] = _bytes(rest) + sum(sizes_of_blocks[-2:])
    elif layout.devices > 1:
        rows['buckets'] = rows['gradients']
    rows['activations'] = step.peak - computed
    return {name: value for name, value in rows.items() if value}


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


def evaluation_bytes(model: nn.Module, layout: RunLayout) -> int:
    """Weights per device in evaluation, for which a sharded model is gathered whole."""
    return _bytes(model.parameters()) - _saved(model, layout.bits)


def table(rows: Mapping[str, int], model: nn.Module, layout: RunLayout, sizes: Sizes) -> str:
    """The estimate as lines of text."""
    how = 'fully sharded' if layout.sharded else 'not sharded'
    read = ', '.join(f'{name} {value}' for name, value in vars(sizes).items() if value and name != 'batch')
    lines = [
        f'{layout.devices} device{"s" * (layout.devices > 1)}, {how}, {sizes.batch} samples on each ({read}); '
        f'recomputed: {", ".join(layout.checkpointed) or "nothing"}'
    ]
    lines += [f'{name.replace("_", " "):<18}{value / GIB:>9.3f} GiB' for name, value in rows.items()]
    lines.append(f'{"training":<18}{sum(rows.values()) / GIB:>9.3f} GiB per device, without kernels and libraries')
    lines.append(f'{"evaluation":<18}{evaluation_bytes(model, layout) / GIB:>9.3f} GiB of weights per device')
    return '\n'.join(lines)
