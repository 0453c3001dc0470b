"""Methods that scale and shift what single operations compute, restated on the whole model: a plain model whose weights
and biases are replaced by ``W' = scale ⊙ W ⊙ in_scale`` and ``b' = scale ⊙ b + shift``, differentiably.

The names of operations are typed out here, as checkpoints hold them, with the modules that are theirs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vlpeft
from tests.tiny import randomise
from vlpeft.testing import SUBJECTS

#: The tiny models have two blocks of width 16.
BLOCKS, WIDTH = 2, 16


class Part(NamedTuple):
    """A module; of a fused one the rows of its output."""

    path: str
    rows: slice = slice(None)
    transposed: bool = False


def _bart() -> dict[str, Part]:
    found = {}
    for side in ('encoder', 'decoder'):
        root = f'model.{side}'
        for i in range(BLOCKS):
            block = f'{root}.layers.{i}'
            for kind, name in (('self_attn', 'self_attn'), ('cross_attn', 'encoder_attn'))[: 1 + (side == 'decoder')]:
                for role, leaf in dict(q='q_proj', k='k_proj', v='v_proj', o='out_proj').items():
                    found[f'{side}_{i}_{kind}_{role}'] = Part(f'{block}.{name}.{leaf}')
                found[f'{side}_{i}_{kind}_norm'] = Part(f'{block}.{name}_layer_norm')
            found |= {f'{side}_{i}_ffn_{role}': Part(f'{block}.{role}') for role in ('fc1', 'fc2')}
            found[f'{side}_{i}_ffn_norm'] = Part(f'{block}.final_layer_norm')
        found[f'{side}_norm'] = Part(f'{root}.layernorm_embedding')
    return found


def _llama() -> dict[str, Part]:
    found = {'lm_norm': Part('model.norm')}
    for i in range(BLOCKS):
        block = f'model.layers.{i}'
        found |= {f'lm_{i}_self_attn_{role}': Part(f'{block}.self_attn.{role}_proj') for role in 'qkvo'}
        found |= {f'lm_{i}_ffn_{role}': Part(f'{block}.mlp.{role}_proj') for role in ('gate', 'up', 'down')}
        found[f'lm_{i}_self_attn_norm'] = Part(f'{block}.input_layernorm')
        found[f'lm_{i}_ffn_norm'] = Part(f'{block}.post_attention_layernorm')
    return found


def _fused(name: str, path: str, transposed: bool) -> dict[str, Part]:
    rows = {role: slice(i * WIDTH, (i + 1) * WIDTH) for i, role in enumerate('qkv')}
    return {f'{name}_{role}': Part(path, span, transposed) for role, span in rows.items()}


def _gpt2() -> dict[str, Part]:
    found = {'lm_norm': Part('transformer.ln_f')}
    for i in range(BLOCKS):
        block = f'transformer.h.{i}'
        found |= _fused(f'lm_{i}_self_attn', f'{block}.attn.c_attn', True)
        found[f'lm_{i}_self_attn_o'] = Part(f'{block}.attn.c_proj', transposed=True)
        found[f'lm_{i}_ffn_fc1'] = Part(f'{block}.mlp.c_fc', transposed=True)
        found[f'lm_{i}_ffn_fc2'] = Part(f'{block}.mlp.c_proj', transposed=True)
        found |= {f'lm_{i}_self_attn_norm': Part(f'{block}.ln_1'), f'lm_{i}_ffn_norm': Part(f'{block}.ln_2')}
    return found


def _vit() -> dict[str, Part]:
    found = {'vision_norm': Part('ln1')}
    for i in range(BLOCKS):
        block = f'layers.{i}'
        found |= _fused(f'vision_{i}_self_attn', f'{block}.attn.qkv', False)
        found[f'vision_{i}_self_attn_o'] = Part(f'{block}.attn.proj')
        found[f'vision_{i}_ffn_fc1'] = Part(f'{block}.ffn.layers.0.0')
        found[f'vision_{i}_ffn_fc2'] = Part(f'{block}.ffn.layers.1')
        found |= {f'vision_{i}_self_attn_norm': Part(f'{block}.ln1'), f'vision_{i}_ffn_norm': Part(f'{block}.ln2')}
    return found


OPERATIONS: dict[str, dict[str, Part]] = dict(bart=_bart(), llama=_llama(), gpt2=_gpt2(), vit=_vit())
MAPS = {model: [key for key in keys if not key.endswith('norm')] for model, keys in OPERATIONS.items()}
NORMS = {model: [key for key in keys if key.endswith('norm')] for model, keys in OPERATIONS.items()}


class Change(NamedTuple):
    """What happens to an operation; None where nothing does."""

    scale: Tensor | None = None
    shift: Tensor | None = None
    in_scale: Tensor | None = None


def changed_parameters(model: nn.Module, parts: Mapping[str, Part], changes: Mapping[str, Change]) -> dict[str, Tensor]:
    """The parameters of a model that the changes of its operations give, by name."""
    found: dict[str, Tensor] = {}
    for key, change in changes.items():
        part = parts[key]
        former = found.get(f'{part.path}.weight', model.get_parameter(f'{part.path}.weight'))
        value = (former.T if part.transposed else former)[part.rows]
        if change.in_scale is not None:
            value = value * change.in_scale
        if change.scale is not None:
            value = value * (change.scale[:, None] if value.ndim > 1 else change.scale)
        weight = former.clone()
        (weight.T if part.transposed else weight)[part.rows] = value
        found[f'{part.path}.weight'] = weight
        if getattr(model.get_submodule(part.path), 'bias', None) is not None:
            former = found.get(f'{part.path}.bias', model.get_parameter(f'{part.path}.bias'))
            value = former[part.rows] if change.scale is None else former[part.rows] * change.scale
            bias = former.clone()
            bias[part.rows] = value if change.shift is None else value + change.shift
            found[f'{part.path}.bias'] = bias
        else:
            assert change.shift is None, f'{key} has no bias'
    return found


class _Changed:
    """A model that is called with other parameters."""

    def __init__(self, model: nn.Module, changed: Mapping[str, Tensor]) -> None:
        self.model, self.changed, self.parameters = model, changed, model.parameters

    def __call__(self, **inputs: Any) -> Any:
        return torch.func.functional_call(self.model, dict(self.changed), (), inputs)


def loss_of(output: Tensor) -> Tensor:
    """Cross-entropy of fixed targets; of a vision model the mean square."""
    if output.shape[-1] <= WIDTH:
        return output.square().mean()
    targets = torch.randint(output.shape[-1], output.shape[:-1], generator=torch.Generator().manual_seed(9))
    return F.cross_entropy(output.flatten(0, -2), targets.flatten())


def assert_restated(
    name: str, config: dict, changes: Callable[[Mapping[str, Tensor]], dict[str, Change]], dtype: torch.dtype
) -> None:
    """Output, loss and gradients of a method are those of the plain model with changed parameters.

    Args:
        name: The model's.
        config: The method's.
        changes: What its parameters, by their names below ``layers.``, do to which operation.
        dtype: float64, compared to 1e-8, or float32, to 1e-4.
    """
    tolerance = dict(rtol=1e-8, atol=1e-10) if dtype == torch.float64 else dict(rtol=1e-4, atol=1e-5)
    subject = SUBJECTS[name]
    adapter = vlpeft.attach(subject.model(dtype), config)
    randomise(adapter.sets, std=0.2, seed=1)
    method, plain = adapter.sets['default'], subject.model(dtype).requires_grad_(False)
    leaves = {
        key.removeprefix('layers.'): param.detach().clone().requires_grad_() for key, param in method.named_parameters()
    }
    restated = changes(leaves)
    used = _Changed(plain, changed_parameters(plain, OPERATIONS[name], restated))
    expected, found = subject.run(used), subject.run(adapter)
    assert not torch.allclose(expected, subject.run(plain), rtol=1e-2, atol=1e-2), 'nothing changes'
    torch.testing.assert_close(found, expected, **tolerance)
    losses = [loss_of(output) for output in (found, expected)]
    torch.testing.assert_close(*losses, **tolerance)
    for loss in losses:
        loss.backward()
    for key, leaf in leaves.items():
        own = method.get_parameter(f'layers.{key}').grad
        torch.testing.assert_close(own, leaf.grad, **tolerance, msg=lambda text, key=key: f'{key}: {text}')
