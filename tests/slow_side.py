"""A side network written out: one sample, one head, one token at a time."""

import math

import torch
from torch.nn import functional as F


def linear(params, name, x):
    return F.linear(x, params[f'{name}.weight'], params.get(f'{name}.bias'))


def norm(params, name, x):
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * params[f'{name}.weight'] + params[f'{name}.bias']


def attention(params, name, x, states, sees, heads):
    """x (B, L, d) and states (B, S, Dc); ``sees(b, row, column)`` says whether a token sees another."""
    query, key, value = linear(params, f'{name}.q', x), linear(params, f'{name}.k', states), None
    value = linear(params, f'{name}.v', states)
    size = x.shape[-1] // heads
    samples = []
    for b in range(len(x)):
        rows = []
        for row in range(x.shape[1]):
            columns = [column for column in range(states.shape[1]) if sees(b, row, column)]
            parts = []
            for head in range(heads):
                own = slice(head * size, (head + 1) * size)
                scores = torch.stack([query[b, row, own] @ key[b, column, own] for column in columns]) / math.sqrt(size)
                weights = scores.exp() / scores.exp().sum()
                parts.append(sum(weight * value[b, column, own] for weight, column in zip(weights, columns)))
            rows.append(torch.cat(parts))
        samples.append(torch.stack(rows))
    return linear(params, f'{name}.o', torch.stack(samples))


def side_network(params, stream, outputs, sees, heads, context=None, context_sees=None, temperature=0.1):
    """The last z, behind its norm.

    Args:
        params: By name, ``first.weight`` …
        stream: What enters the tower's first block.
        outputs: What leaves the blocks that have one in the side network.
        sees, context_sees: Of tokens, and of a context's tokens.
        heads: Of the side attentions.
        context: Of the cross-attentions.
    """
    z = linear(params, 'first', stream)
    for i, output in enumerate(outputs):
        mix = 1 / (1 + (-params['gates'][i] / temperature).exp())
        z = mix * z + (1 - mix) * linear(params, f'downs.{i}', output)
        at = f'blocks.{i}'
        normed = norm(params, f'{at}.norm_self', z)
        z = z + attention(params, f'{at}.self_attn', normed, normed, sees, heads)
        if context is not None:
            z = z + attention(
                params, f'{at}.cross_attn', norm(params, f'{at}.norm_cross', z), context, context_sees, heads
            )
        middle = F.gelu(linear(params, f'{at}.fc1', norm(params, f'{at}.norm_ffn', z)), approximate='tanh')
        z = z + linear(params, f'{at}.fc2', middle)
    return norm(params, 'norm', z)
