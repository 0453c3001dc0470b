"""eP-ALM on OPT restated slowly, one sample, one head and one token at a time, with a sequence that grows where the
first perceptual token enters."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from tests.slow_seq2seq import attend, layer_norm, linear


class Method(NamedTuple):
    """Parameters of :class:`vlpeft.adapters.EPALM` by name, and its options."""

    state: Mapping[str, Tensor]
    levels: int
    start: int
    end: int
    full: bool

    def prompt(self) -> Tensor | None:
        if 'prompt.table' not in self.state:
            return None
        table = self.state['prompt.table']
        if 'prompt.mlp.0.weight' not in self.state:
            return table
        return linear(torch.tanh(linear(table, self.state, 'prompt.mlp.0')), self.state, 'prompt.mlp.2')

    def token(self, layer: int, vectors: Tensor) -> Tensor:
        """The perceptual token (D,) of a layer, of vectors (K, Dv)."""
        span = self.end - self.start
        step = 1 if self.levels == 1 or span <= self.levels else span // self.levels
        level = 0 if self.levels == 1 else min((layer - self.start) // step, self.levels - 1)
        shared = 'connector.1.weight' not in self.state
        return linear(vectors[level], self.state, f'connector.{0 if shared else level}')


class SlowOPT:
    """OPT, pre-norm or post-norm.

    Args:
        state: Parameters of HF's ``OPTForCausalLM`` by name.
        config: Its config.
        method: The method, or None for the language model alone.
    """

    def __init__(self, state: Mapping[str, Tensor], config, method: Method | None) -> None:
        self.state, self.config, self.method = state, config, method

    def embed(self, ids: Tensor, real: Tensor) -> Tensor:
        words = self.state['model.decoder.embed_tokens.weight'][ids]
        prompt = self.method.prompt() if self.method else None
        x = words if prompt is None else torch.cat([prompt, words])
        if 'model.decoder.project_in.weight' in self.state:
            x = linear(x, self.state, 'model.decoder.project_in')
        count, rows = 0, []
        for there in real.tolist():
            rows.append(2 + count if there else 1)
            count += there
        positions = self.state['model.decoder.embed_positions.weight'][rows]
        return torch.cat([x[: len(x) - len(ids)], x[len(x) - len(ids) :] + positions])

    def visible(self, real: Tensor, prompt: int) -> Tensor:
        """Which of prompt and text each of them sees."""
        real = torch.cat([real.new_ones(prompt), real])
        rows = [[bool(real[j]) and j <= i for j in range(len(real))] for i in range(len(real))]
        return torch.tensor(rows)

    def attention(self, x: Tensor, visible: Tensor, name: str) -> Tensor:
        # Padding that sees nothing sees itself.
        visible = visible.clone()
        for i, row in enumerate(visible):
            row[i] |= not row.any()
        q, k, v = (linear(x, self.state, f'{name}.{part}_proj') for part in 'qkv')
        heads = self.config.num_attention_heads
        out = attend(q, k, v, heads, visible, (x.shape[-1] // heads) ** -0.5)
        return linear(out, self.state, f'{name}.out_proj')

    def layer(self, x: Tensor, visible: Tensor, i: int) -> Tensor:
        name = f'model.decoder.layers.{i}'
        norms = [
            lambda y, part=part: layer_norm(y, self.state, f'{name}.{part}_layer_norm')
            for part in ('self_attn', 'final')
        ]
        branches = [
            lambda y: self.attention(y, visible, f'{name}.self_attn'),
            lambda y: linear(torch.clamp(linear(y, self.state, f'{name}.fc1'), min=0), self.state, f'{name}.fc2'),
        ]
        for norm, branch in zip(norms, branches):
            x = x + branch(norm(x)) if self.config.do_layer_norm_before else norm(x + branch(x))
        return x

    def logits(self, ids: Tensor, real: Tensor, vectors: Tensor | None) -> Tensor:
        """Logits (L, V) of ids (L,), bool (L,) and vectors (K, Dv), None for none."""
        x = self.embed(ids, real)
        visible = self.visible(real, len(x) - len(ids))
        for i in range(self.config.num_hidden_layers):
            if vectors is not None and self.method.start <= i < self.method.end:
                token = self.method.token(i, vectors)[None]
                if i == self.method.start:
                    x = torch.cat([token, x])
                    grown = torch.ones(len(x), len(x), dtype=torch.bool)
                    grown[1:, 1:] = visible
                    grown[0, 1:] = self.method.full
                    visible = grown
                else:
                    x = torch.cat([token, x[1:]])
            x = self.layer(x, visible, i)
        if self.config.do_layer_norm_before:
            x = layer_norm(x, self.state, 'model.decoder.final_layer_norm')
        if 'model.decoder.project_out.weight' in self.state:
            x = linear(x, self.state, 'model.decoder.project_out')
        return x[len(x) - len(ids) :] @ self.state['model.decoder.embed_tokens.weight'].T


def text_loss(logits: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    """Sum over the real tokens after the first of -log p, of logits (L, V); ``ids`` and ``real`` (L,)."""
    total = logits.new_zeros(())
    before = None
    for t, there in enumerate(real.tolist()):
        if there and before is not None:
            total = total - logits[before][ids[t]] + torch.logsumexp(logits[before], 0)
        before = t if there else before
    return total
