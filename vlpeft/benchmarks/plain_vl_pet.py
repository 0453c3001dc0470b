"""A training step of VL-PET as its released code takes it, on transformers' BART or T5 with explicit attention.

The down-projection is one linear map for each of its heads; every block of the encoder looks for infinite numbers; keys
and values of the decoder are cached, which nothing reads in training; gradients are clipped and weights updated tensor
by tensor, frozen ones handed over too. The gate is that of the granularity ``'large'``.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IGNORED = -100


def split_heads(weights: Mapping[str, Tensor], heads: int) -> dict[str, Tensor]:
    """A copy of the method's weights by our names; down-projections of branches in parts, ``….down.{head}.weight``."""
    found = {}
    for name, value in weights.items():
        value = value.detach().clone()
        if '.bottleneck.down.' in name and '.gate.' not in name:
            stem, _, leaf = name.rpartition('.')
            found.update({f'{stem}.{head}.{leaf}': part.clone() for head, part in enumerate(value.chunk(heads))})
        else:
            found[name] = value
    return {name: value.requires_grad_() for name, value in found.items()}


def joined_gradients(weights: Mapping[str, Tensor], heads: int) -> dict[str, Tensor]:
    """Gradients of :func:`split_heads`' weights by our names."""
    found, parts = {}, {}
    for name, value in weights.items():
        stem, _, leaf = name.rpartition('.')
        stem, _, head = stem.rpartition('.')
        if head.isdigit():
            parts.setdefault(f'{stem}.{leaf}', []).append(value.grad)
        else:
            found[name] = value.grad
    return {**found, **{name: torch.cat(grads) for name, grads in parts.items()}}


class PlainVLPET:
    """The method on a ``VLSeq2Seq`` without any, by hooks.

    Args:
        model: The model; its language model is switched to explicit attention.
        weights: Of :func:`split_heads`.
        heads: N_h.
        scale: s.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], heads: int, scale: float) -> None:
        self.model, self.weights, self.heads, self.scale = model, weights, heads, scale
        self.x: dict[str, Tensor] = {}
        model.lm.set_attn_implementation('eager')
        if model.lm.config.model_type == 'bart':
            self._hook_bart(model.lm.model)
        else:
            self._hook_t5(model.lm)

    def linear(self, x: Tensor, name: str) -> Tensor:
        """A map by its name in the release."""
        return F.linear(x, self.weights[f'{name}.weight'], self.weights[f'{name}.bias'])

    def gated(self, place: str, x: Tensor, h: Tensor) -> Tensor:
        """s · G ⊙ (h + Δh)."""
        name = f'layers.{place}'
        code = torch.cat([self.linear(h, f'{name}.bottleneck.down.{head}') for head in range(self.heads)], -1)
        u = h + self.linear(F.gelu(code, approximate='tanh'), f'{name}.bottleneck.up')
        code = F.gelu(self.linear(x, f'{name}.gate.bottleneck.down'), approximate='tanh')
        gate = torch.sigmoid(self.linear(code, f'{name}.gate.bottleneck.up'))
        return self.scale * (gate * u)

    def _read(self, module: nn.Module, place: str) -> None:
        """Keeps the input of a module as x of a branch."""

        def keep(_: nn.Module, args: tuple, kwargs: dict) -> None:
            self.x[place] = args[0] if args else kwargs['hidden_states']

        module.register_forward_pre_hook(keep, with_kwargs=True)

    def _write(self, module: nn.Module, place: str) -> None:
        """Gates the output of a module."""

        def gate(_: nn.Module, args: tuple, output: Tensor | tuple) -> Tensor | tuple:
            if isinstance(output, tuple):
                return (self.gated(place, self.x[place], output[0]), *output[1:])
            return self.gated(place, self.x[place], output)

        module.register_forward_hook(gate)

    def _value(self, linear: nn.Module, depth: int) -> None:
        """Adds the value adapter of a decoder block."""
        name = f'values.decoder_{depth}_cross_attn_v'

        def add(_: nn.Module, args: tuple, output: Tensor) -> Tensor:
            code = F.gelu(self.linear(args[0], f'{name}.down'), approximate='tanh')
            return output + self.linear(code, f'{name}.up')

        linear.register_forward_hook(add)

    @staticmethod
    def _look_for_infinite(block: nn.Module) -> None:
        def look(_: nn.Module, args: tuple, output: Tensor | tuple) -> None:
            states = output[0] if isinstance(output, tuple) else output
            if torch.isinf(states).any() or torch.isnan(states).any():
                raise FloatingPointError('the states of a block are not finite')

        block.register_forward_hook(look)

    def _hook_bart(self, lm: nn.Module) -> None:
        for depth, block in enumerate(lm.encoder.layers):
            self._read(block, f'encoder_{depth}_self_attn')
            self._write(block.self_attn, f'encoder_{depth}_self_attn')
            self._read(block.fc1, f'encoder_{depth}_ffn')
            self._write(block.fc2, f'encoder_{depth}_ffn')
            self._look_for_infinite(block)
        for depth, block in enumerate(lm.decoder.layers):
            self._value(block.encoder_attn.v_proj, depth)

    def _hook_t5(self, lm: nn.Module) -> None:
        for depth, block in enumerate(lm.encoder.block):
            attention, ffn = block.layer
            self._read(attention, f'encoder_{depth}_self_attn')
            self._write(attention.SelfAttention, f'encoder_{depth}_self_attn')
            self._read(ffn, f'encoder_{depth}_ffn')
            self._write(ffn.DenseReluDense, f'encoder_{depth}_ffn')
            self._look_for_infinite(attention)
            self._look_for_infinite(ffn)
        for depth, block in enumerate(lm.decoder.block):
            self._value(block.layer[1].EncDecAttention.v, depth)
            for part in block.layer:
                self._look_for_infinite(part)

    def loss(self, features: Tensor, samples: list, max_text: int, max_target: int) -> dict[str, Tensor]:
        """``loss_vqa``: mean over the tokens of each answer, times its weight, mean over the batch."""
        model = self.model
        states, mask = model.read(
            features, model.tokens([sample.text for sample in samples], max_text, features.device)
        )
        ids, real = model.tokens([sample.target for sample in samples], max_target, features.device)
        labels = ids.masked_fill(real == 0, IGNORED)
        start = ids.new_full((len(ids), 1), model.lm.config.decoder_start_token_id)
        logits = model.lm(
            encoder_outputs=(states,),
            attention_mask=mask,
            decoder_input_ids=torch.cat([start, ids[:, :-1]], 1),
            use_cache=True,
        ).logits
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction='none')
        losses = losses.view(labels.shape).sum(1) / real.sum(1)
        weights = torch.tensor([sample.weight for sample in samples])
        return dict(loss_vqa=(losses * weights).mean())

    def parameters(self) -> list[Tensor]:
        """Every tensor, as the release hands them to its optimiser."""
        return [*self.model.parameters(), *self.weights.values()]


class PlainAdamW(torch.optim.Optimizer):
    """AdamW of transformers 4.2.1 after clipping the norm of all gradients, one tensor after another.

    Args:
        params: Tensors, frozen ones too.
        lr: Learning rate.
        clip: Largest norm.
        weight_decay: Defaults to 0.01.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, clip: float, weight_decay: float = 0.01) -> None:
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay))
        self.clip = clip

    @torch.no_grad()
    def step(self) -> None:
        """One update of each tensor that has a gradient."""
        (group,) = self.param_groups
        torch.nn.utils.clip_grad_norm_(group['params'], self.clip, foreach=False)
        for param in group['params']:
            if param.grad is None:
                continue
            state = self.state[param]
            if not state:
                state.update(step=0, mean=torch.zeros_like(param), square=torch.zeros_like(param))
            state['step'] += 1
            state['mean'].mul_(0.9).add_(param.grad, alpha=1 - 0.9)
            state['square'].mul_(0.999).addcmul_(param.grad, param.grad, value=1 - 0.999)
            root = state['square'].sqrt().add_(1e-6)
            size = group['lr'] * (1 - 0.999 ** state['step']) ** 0.5 / (1 - 0.9 ** state['step'])
            param.addcdiv_(state['mean'], root, value=-size)
            param.add_(param, alpha=-group['lr'] * group['weight_decay'])
