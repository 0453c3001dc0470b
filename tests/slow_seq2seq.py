"""BART and T5 with VL-PET restated slowly from their formulas: one example, one head and one token at a time."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tests.tiny_seq2seq import KeepDouble


def linear(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    y = x @ state[f'{name}.weight'].T
    return y + state[f'{name}.bias'] if f'{name}.bias' in state else y


def layer_norm(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
    return normed * state[f'{name}.weight'] + state[f'{name}.bias']


def rms_norm(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6) * state[f'{name}.weight']


def gelu_erf(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, visible: Tensor, scale: float, bias=None) -> Tensor:
    """q (L, D), k and v (S, D); visible (L, S) bool; bias (heads, L, S) or None."""
    out = []
    for head, (qh, kh, vh) in enumerate(zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1))):
        rows = []
        for i, query in enumerate(qh):
            scores = (kh @ query) * scale + (0 if bias is None else bias[head, i])
            exps = torch.exp(scores - scores[visible[i]].max()) * visible[i]
            rows.append((exps / exps.sum()) @ vh)
        out.append(torch.stack(rows))
    return torch.cat(out, -1)


class SlowVLPET:
    """VL-PET of one place at a time.

    Args:
        state: Parameters of :class:`vlpeft.adapters.VLPET` by name; empty for none.
        options: Its arguments, ``granularity`` at least.
        heads: N_h: the down-projection is applied in that many parts.
    """

    def __init__(self, state: Mapping[str, Tensor], options: dict, heads: int = 1) -> None:
        self.state, self.options, self.heads = state, options, heads

    def bottleneck(self, u: Tensor, name: str) -> Tensor:
        weights = self.state[f'{name}.down.weight'].chunk(self.heads)
        biases = self.state[f'{name}.down.bias'].chunk(self.heads)
        code = torch.cat([weight @ u + bias for weight, bias in zip(weights, biases)])
        return linear(gelu_tanh(code), self.state, f'{name}.up')

    def gate(self, x: Tensor, u: Tensor, real: Tensor, name: str):
        """One factor for each token, of (D,), (1,) or nothing."""
        options, state = self.options, self.state
        granularity = options['granularity']
        if granularity == 'large':
            return [sigmoid(self.bottleneck(token, f'{name}.bottleneck')) for token in x]
        if granularity == 'middle_x':
            return [sigmoid(linear(a + b, state, f'{name}.linear')) for a, b in zip(x, u)]
        if granularity == 'middle_y':
            z = state[f'{name}.z']
            return [1 + (z if options.get('middle_y', '1+z') == '1+z' else sigmoid(z))] * len(x)
        weights = [sigmoid(linear(torch.cat([a, b]), state, f'{name}.linear')) for a, b in zip(x, u)]
        if options.get('mean', 'all') == 'masked':
            weights = [weight for weight, there in zip(weights, real) if there]
        return [sum(weights) / len(weights)] * len(x)

    def branch(self, place: str, x: Tensor, h: Tensor, real: Tensor) -> Tensor:
        """What the branch gives, of its stream ``x`` and output ``h``, both (L, D); ``real`` (L,) bool."""
        name = f'layers.{place}'
        if not any(key.startswith(f'{name}.') for key in self.state):
            return h
        u = torch.stack([token + self.bottleneck(token, f'{name}.bottleneck') for token in h])
        seen = h if self.options.get('gate_input') == 'h' else u
        gates = self.gate(x, seen, real, f'{name}.gate')
        return torch.stack([self.options.get('scale', 1.0) * g * token for g, token in zip(gates, u)])

    def value(self, place: str, v: Tensor, e: Tensor) -> Tensor:
        """Values (S, D) of the encoder's output ``e`` (S, D)."""
        name = f'values.{place}'
        if f'{name}.down.weight' not in self.state:
            return v
        heads, self.heads = self.heads, 1
        added = torch.stack([self.bottleneck(token, name) for token in e])
        self.heads = heads
        return v + added


class SlowBart:
    """BART.

    Args:
        state: Parameters of HF's ``BartForConditionalGeneration`` by name.
        config: Its config.
        pet: The method.
    """

    def __init__(self, state: Mapping[str, Tensor], config, pet: SlowVLPET) -> None:
        self.state, self.config, self.pet = state, config, pet

    def attention(self, x: Tensor, states: Tensor, visible: Tensor, name: str, heads: int, place: str) -> Tensor:
        s = self.state
        q, k, v = (
            linear(x, s, f'{name}.q_proj'),
            linear(states, s, f'{name}.k_proj'),
            linear(states, s, f'{name}.v_proj'),
        )
        v = self.pet.value(f'{place}_v', v, states)
        scale = (x.shape[-1] // heads) ** -0.5
        return linear(attend(q, k, v, heads, visible, scale), s, f'{name}.out_proj')

    def embed(self, ids: Tensor, tower: str) -> Tensor:
        name = f'model.{tower}'
        x = self.state['model.shared.weight'][ids]
        x = x + self.state[f'{name}.embed_positions.weight'][2 : 2 + len(ids)]
        return layer_norm(x, self.state, f'{name}.layernorm_embedding')

    def add(self, x: Tensor, h: Tensor, place: str, norm: str, real: Tensor) -> Tensor:
        return layer_norm(x + self.pet.branch(place, x, h, real), self.state, norm)

    def ffn(self, x: Tensor, name: str, place: str, real: Tensor) -> Tensor:
        h = linear(gelu_erf(linear(x, self.state, f'{name}.fc1')), self.state, f'{name}.fc2')
        return self.add(x, h, place, f'{name}.final_layer_norm', real)

    def encoder(self, ids: Tensor, real: Tensor, vision: Tensor | None = None) -> Tensor:
        """Ids (L,), bool (L,); embedded vision tokens (N, D), to which neither position nor norm is added.

        Returns:
            (L + N, D).
        """
        x = self.embed(ids, 'encoder')
        if vision is not None:
            x, real = torch.cat([x, vision]), torch.cat([real, real.new_ones(len(vision))])
        visible = real.expand(len(x), -1)
        for i in range(self.config.encoder_layers):
            name, place = f'model.encoder.layers.{i}', f'encoder_{i}'
            h = self.attention(
                x, x, visible, f'{name}.self_attn', self.config.encoder_attention_heads, f'{place}_self_attn'
            )
            x = self.add(x, h, f'{place}_self_attn', f'{name}.self_attn_layer_norm', real)
            x = self.ffn(x, name, f'{place}_ffn', real)
        return x

    def logits(self, target: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """(T, V) of decoder ids (T,), encoder output (S, D) and which of it is real (S,)."""
        x, heads = self.embed(target, 'decoder'), self.config.decoder_attention_heads
        all_real = torch.ones(len(x), dtype=torch.bool)
        causal = torch.ones(len(x), len(x), dtype=torch.bool).tril()
        for i in range(self.config.decoder_layers):
            name, place = f'model.decoder.layers.{i}', f'decoder_{i}'
            for sources, visible, kind, part in (
                (None, causal, 'self_attn', 'self_attn'),
                (states, real.expand(len(x), -1), 'cross_attn', 'encoder_attn'),
            ):
                h = self.attention(
                    x, x if sources is None else sources, visible, f'{name}.{part}', heads, f'{place}_{kind}'
                )
                x = self.add(x, h, f'{place}_{kind}', f'{name}.{part}_layer_norm', all_real)
            x = self.ffn(x, name, f'{place}_ffn', all_real)
        return x @ self.state['model.shared.weight'].T


class SlowT5:
    """T5 with the ReLU FFN; arguments as for :class:`SlowBart`."""

    def __init__(self, state: Mapping[str, Tensor], config, pet: SlowVLPET) -> None:
        self.state, self.config, self.pet = state, config, pet

    def attention(self, x: Tensor, states: Tensor, visible: Tensor, name: str, place: str, bias=None) -> Tensor:
        s, heads = self.state, self.config.num_heads
        q, k, v = linear(x, s, f'{name}.q'), linear(states, s, f'{name}.k'), linear(states, s, f'{name}.v')
        v = self.pet.value(f'{place}_v', v, states)
        return linear(attend(q, k, v, heads, visible, 1.0, bias), s, f'{name}.o')

    def bucket(self, offset: int, bidirectional: bool) -> int:
        """Bucket of a key ``offset`` tokens after its query."""
        count, first = self.config.relative_attention_num_buckets, 0
        if bidirectional:
            count //= 2
            first = count if offset > 0 else 0
        distance = abs(offset) if bidirectional else max(-offset, 0)
        exact = count // 2
        if distance < exact:
            return first + distance
        share = math.log(distance / exact) / math.log(self.config.relative_attention_max_distance / exact)
        return first + min(exact + int(share * (count - exact) + 1e-6), count - 1)

    def bias(self, tower: str, length: int, texts: int) -> Tensor:
        """(heads, length, length): a table's entry for each pair of the first ``texts`` tokens, else 0."""
        table = self.state[f'{tower}.block.0.layer.0.SelfAttention.relative_attention_bias.weight']
        out = torch.zeros(length, length, table.shape[1], dtype=table.dtype)
        rows = [[self.bucket(k - q, tower == 'encoder') for k in range(texts)] for q in range(texts)]
        out[:texts, :texts] = table[torch.tensor(rows)]
        return out.permute(2, 0, 1)

    def ffn(self, x: Tensor, name: str, place: str, real: Tensor) -> Tensor:
        hidden = torch.clamp(
            linear(rms_norm(x, self.state, f'{name}.layer_norm'), self.state, f'{name}.DenseReluDense.wi'), min=0
        )
        return x + self.pet.branch(place, x, linear(hidden, self.state, f'{name}.DenseReluDense.wo'), real)

    def encoder(self, ids: Tensor, real: Tensor, vision: Tensor | None = None) -> Tensor:
        """Ids (L,), bool (L,); embedded vision tokens (N, D), which no relative bias reaches.

        Returns:
            (L + N, D).
        """
        x = self.state['shared.weight'][ids]
        if vision is not None:
            x, real = torch.cat([x, vision]), torch.cat([real, real.new_ones(len(vision))])
        bias, visible = self.bias('encoder', len(x), len(ids)), real.expand(len(x), -1)
        for i in range(self.config.num_layers):
            name, place = f'encoder.block.{i}.layer', f'encoder_{i}'
            normed = rms_norm(x, self.state, f'{name}.0.layer_norm')
            h = self.attention(normed, normed, visible, f'{name}.0.SelfAttention', f'{place}_self_attn', bias)
            x = x + self.pet.branch(f'{place}_self_attn', x, h, real)
            x = self.ffn(x, f'{name}.1', f'{place}_ffn', real)
        return rms_norm(x, self.state, 'encoder.final_layer_norm')

    def logits(self, target: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """(T, V) of decoder ids (T,), encoder output (S, D) and which of it is real (S,)."""
        x = self.state['shared.weight'][target]
        all_real = torch.ones(len(x), dtype=torch.bool)
        causal = torch.ones(len(x), len(x), dtype=torch.bool).tril()
        bias = self.bias('decoder', len(x), len(x))
        for i in range(self.config.num_decoder_layers):
            name, place = f'decoder.block.{i}.layer', f'decoder_{i}'
            normed = rms_norm(x, self.state, f'{name}.0.layer_norm')
            h = self.attention(normed, normed, causal, f'{name}.0.SelfAttention', f'{place}_self_attn', bias)
            x = x + self.pet.branch(f'{place}_self_attn', x, h, all_real)
            normed = rms_norm(x, self.state, f'{name}.1.layer_norm')
            h = self.attention(
                normed, states, real.expand(len(x), -1), f'{name}.1.EncDecAttention', f'{place}_cross_attn'
            )
            x = x + self.pet.branch(f'{place}_cross_attn', x, h, all_real)
            x = self.ffn(x, f'{name}.2', f'{place}_ffn', all_real)
        x = rms_norm(x, self.state, 'decoder.final_layer_norm') * self.config.d_model**-0.5
        return x @ self.state['shared.weight'].T


def slow_model(
    lm_state: Mapping[str, Tensor], config, adapter_state: Mapping[str, Tensor], options: dict, heads: int = 1
):
    """:class:`SlowBart` or :class:`SlowT5` by the config, with VL-PET of ``adapter_state`` and ``options``."""
    slow = SlowBart if config.model_type == 'bart' else SlowT5
    return slow(lm_state, config, SlowVLPET(adapter_state, options, heads))


def slow_logits(model, pet: SlowVLPET, ids: Tensor, mask: Tensor, target: Tensor, add=None) -> Tensor:
    """Logits (B, T, V) of an ``AdaptedLM`` whose method is restated by ``pet``; of ids and mask (B, L), target (B, T).

    ``add(x, h, place, norm, real, original)``, if given, takes the place of the slow model's ``add``.
    """
    slow = slow_model(dict(model.lm.named_parameters()), model.lm.config, {}, {})
    slow.pet = pet
    if add is not None:
        original = slow.add
        slow.add = lambda *args: add(*args, original)
    return torch.stack([slow.logits(target[i], slow.encoder(ids[i], real), real) for i, real in enumerate(mask.bool())])


def check_formulas(model, expected: Tensor, batch: tuple, params: list[Tensor], **close) -> None:
    """An ``AdaptedLM`` gives the expected logits, which are not the bare ones, and the same gradients of their squares,
    none of which is zero.
    """
    with KeepDouble():
        found = model(*batch)
    with model.switch.use(None), torch.no_grad():
        assert (model(*batch) - found).abs().max() > 0.05
    torch.testing.assert_close(found, expected, **close)
    for fast, slow in zip(*(torch.autograd.grad(y.square().sum(), params) for y in (found, expected))):
        torch.testing.assert_close(fast, slow, **close)
        assert slow.abs().max() > 0
