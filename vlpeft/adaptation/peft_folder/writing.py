"""From our LoRA to a folder that peft loads."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vlpeft.adaptation.errors import AdapterFolderError
from vlpeft.adapters import Adapter, ComposedAdapter, DoRA, LoRA
from vlpeft.adapters.dora import DoRALinear
from vlpeft.adapters.lora_layer import LoRALinear
from vlpeft.atomic import write_atomically
from vlpeft.sites import Tower, is_transposed, weight_rows

from .reading import BLOCKS
from .settings import CONFIG, WEIGHTS

Rows = tuple[int, int]


class _Change(NamedTuple):
    """scale · B A of one whole map: A (r, in), B (out, r), of DoRA m (out,); of a fused one in blocks (first row, last
    row, rank).
    """

    scale: float
    down: Tensor
    up: Tensor
    magnitude: Tensor | None = None
    blocks: list[tuple[int, int, int]] | None = None

    @property
    def rank(self) -> int:
        return len(self.down)

    def alpha(self, use_rslora: bool) -> float:
        """Of a scale α / √r or α / r; an integer where that is meant: the quotient rounds, and so does its product."""
        alpha = self.scale * (math.sqrt(self.rank) if use_rslora else self.rank)
        return round(alpha) if abs(alpha - round(alpha)) < 1e-9 else alpha


@torch.no_grad()
def write_peft_folder(folder: Path, module: Adapter, towers: Mapping[str, Tower], model: nn.Module) -> None:
    """Writes a LoRA as a folder that ``peft.PeftModel.from_pretrained`` loads, with the same outputs.

    Changes of parts of a fused projection become one change of the whole: with the same A where all parts share it, as
    after :func:`read_peft_folder`; else in blocks, A of all parts one below the other and B block-diagonal, whose rank
    is the sum of theirs.

    Args:
        folder: Is made.
        module: Our LoRA, or several composed, each at maps of its own.
        towers: By name.
        model: The model that they are parts of.

    Raises:
        AdapterFolderError: Another method, or a LoRA that peft has no form for; the message says what.
    """
    changes = _changes(folder, module, towers, model)
    settings = _settings(folder, module, model, changes)
    tensors = {}
    for name, change in changes.items():
        own = {'lora_A.weight': change.down, 'lora_B.weight': change.up, 'lora_magnitude_vector': change.magnitude}
        for key, tensor in own.items():
            if tensor is not None:
                tensors[f'base_model.model.{name}.{key}'] = tensor.detach().cpu().contiguous()
    blocks = {name: change.blocks for name, change in changes.items() if change.blocks is not None}
    texts = {'format': 'pt', **({BLOCKS: json.dumps(blocks)} if blocks else {})}

    from safetensors.torch import save_file

    # No manifest: peft may write its own weights into the same folder later.
    write_atomically(folder / WEIGHTS, lambda part: save_file(tensors, part, metadata=texts))
    text = json.dumps(settings, indent=2) + '\n'
    write_atomically(folder / CONFIG, lambda part: Path(part).write_text(text, encoding='utf-8'))


def _changes(folder: Path, module: Adapter, towers: Mapping[str, Tower], model: nn.Module) -> dict[str, _Change]:
    """By the name that peft gives a map: the first under which the model lists its module."""
    methods = list(module.parts) if isinstance(module, ComposedAdapter) else [module]
    for part in methods:
        if type(part) not in (LoRA, DoRA) or type(part) is not type(methods[0]):
            raise AdapterFolderError(
                f'{folder}: {" + ".join(type(method).__name__ for method in methods)} cannot be written as a folder of '
                'peft; LoRA can, DoRA, and a list of several of one of them at different maps'
            )
        if part.biases is not None:
            raise AdapterFolderError(
                f'{folder}: LoRA with biases cannot be written as a folder of peft, which would hold those of the '
                'model itself'
            )
    names = {found: name for name, found in model.named_modules()}
    units: dict[nn.Module, dict[Rows | None, LoRALinear]] = {}
    for binding in module.bindings(towers):
        linear = towers[binding.tower].at(binding.write.path)
        if linear not in names:
            raise AdapterFolderError(f'{folder}: {binding.site} is no module of this {type(model).__name__}')
        parts = units.setdefault(linear, {})
        if binding.write.span in parts:
            raise AdapterFolderError(f'{folder}: two LoRAs change {names[linear]}, a folder of peft has one')
        parts[binding.write.span] = binding.unit
    return {names[linear]: _whole(folder, names[linear], linear, parts) for linear, parts in units.items()}


def _whole(folder: Path, name: str, linear: nn.Module, parts: dict[Rows | None, LoRALinear]) -> _Change:
    """One change of the whole map that computes what those of its parts do."""
    units = list(parts.values())
    first = units[0]
    if None in parts:
        return _Change(first.scale, *first.factors(), first.magnitude if isinstance(first, DoRALinear) else None)
    if len({unit.scale for unit in units}) > 1:
        found = ', '.join(f'{unit.scale:g}' for unit in units)
        raise AdapterFolderError(
            f'{folder}: the parts of {name} have different scales alpha / rank ({found}), peft has one'
        )
    out = linear.nf if is_transposed(linear) else linear.out_features
    factors = {rows: unit.factors() for rows, unit in sorted(parts.items(), key=lambda item: item[0])}
    downs, ups = zip(*factors.values())
    magnitude = None
    if isinstance(first, DoRALinear):
        # Rows that are not adapted keep the length that they have.
        magnitude = weight_rows(linear).detach().to(first.magnitude.dtype).norm(dim=1)
        for (start, stop), unit in parts.items():
            magnitude[start:stop] = unit.magnitude
    covered = sum(stop - start for start, stop in factors) == out
    if covered and all(torch.equal(down, downs[0]) for down in downs):
        return _Change(first.scale, downs[0], torch.cat(ups), magnitude)
    down = torch.cat(downs)
    whole = down.new_zeros(out, len(down))
    column, blocks = 0, []
    for (start, stop), (_, up) in factors.items():
        rank = up.shape[1]
        whole[start:stop, column : column + rank] = up
        column += rank
        blocks.append((start, stop, rank))
    return _Change(first.scale, down, whole, magnitude, blocks)


def _settings(folder: Path, module: Adapter, model: nn.Module, changes: Mapping[str, _Change]) -> dict[str, Any]:
    rates = {unit.dropout.p for unit in module.modules() if isinstance(unit, LoRALinear)}
    if len(rates) > 1:
        raise AdapterFolderError(
            f'{folder}: the LoRAs have different dropout {sorted(rates)}, peft has one lora_dropout'
        )
    use_rslora = {part.scaling for part in module.modules() if isinstance(part, LoRA)} == {'rslora'}
    alphas = {name: change.alpha(use_rslora) for name, change in changes.items()}
    rank = _most_common(change.rank for change in changes.values())
    alpha = _most_common(alphas.values())
    base = type(model)
    return dict(
        peft_type='LORA',
        task_type=None,
        auto_mapping=dict(base_model_class=base.__name__, parent_library=base.__module__),
        base_model_name_or_path=getattr(getattr(model, 'config', None), '_name_or_path', None) or None,
        inference_mode=True,
        r=rank,
        lora_alpha=alpha,
        lora_dropout=rates.pop(),
        target_modules=_exact(changes, model),
        rank_pattern={f'^{re.escape(name)}': c.rank for name, c in changes.items() if c.rank != rank},
        alpha_pattern={f'^{re.escape(name)}': own for name, own in alphas.items() if own != alpha},
        use_rslora=use_rslora,
        use_dora=any(isinstance(part, DoRA) for part in module.modules()),
        fan_in_fan_out=any(is_transposed(model.get_submodule(name)) for name in changes),
        bias='none',
        init_lora_weights=True,
    )


def _exact(names: Iterable[str], model: nn.Module) -> list[str] | str:
    """What chooses these modules alone. A name in a list also chooses modules whose longer name ends with it; where
    there are any, it is a pattern that must match all of a name.
    """
    names = sorted(names)
    ends = tuple(f'.{name}' for name in names)
    if any(name.endswith(ends) for name, _ in model.named_modules()):
        return '|'.join(map(re.escape, names))
    return names


def _most_common(values: Iterable[float]) -> float:
    return Counter(values).most_common(1)[0][0]
