"""BLIP with UniAdapter restated slowly from its formulas, one head and one token loop at a time, over a state dict."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def norm(x: Tensor, state: dict, name: str, eps: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    var = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(var + eps) * state[f'{name}.weight'] + state[f'{name}.bias']


def linear(x: Tensor, state: dict, name: str) -> Tensor:
    return x @ state[f'{name}.weight'].T + state[f'{name}.bias']


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask=None) -> Tensor:
    """One sequence: q (L, D), k and v (S, D), additive mask (S,) or (L, S)."""
    out = []
    for qh, kh, vh in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1)):
        scores = qh @ kh.T / math.sqrt(qh.shape[-1])
        out.append(torch.softmax(scores if mask is None else scores + mask, -1) @ vh)
    return torch.cat(out, -1)


class SlowUniAdapter:
    """Closed forms of the adapter, by depth."""

    def __init__(self, state: dict, scale: float = 0.1) -> None:
        self.state, self.scale = state, scale
        self.present = any(key.startswith('adapter.') for key in state)

    def code(self, x, i):
        name = f'adapter.layers.{i}'
        return torch.clamp(linear(norm(x, self.state, f'{name}.norm', 1e-5), self.state, f'{name}.down'), min=0)

    def __call__(self, x, i, modality):
        if not self.present:
            return torch.zeros_like(x)
        name, d = f'adapter.layers.{i}', self.code(x, i)
        if modality == 'multimodal':
            u = linear(d, self.state, f'{name}.up_multimodal') + linear(d, self.state, f'{name}.up_text')
            return self.scale * norm(u, self.state, f'{name}.norm_cross', 1e-5)
        return self.scale * linear(d, self.state, f'{name}.up_{modality}')


class SlowBlip:
    """Vision and text passes of one clip or text at a time."""

    def __init__(self, model) -> None:
        self.state = dict(model.named_parameters(remove_duplicate=False))
        self.depth, self.heads = len(model.vision.layers), model.text.encoder.layer[0].attention.heads
        self.patch = model.vision.patch_embed.projection.kernel_size[0]
        self.adapter = SlowUniAdapter(self.state)

    def vision(self, image: Tensor) -> Tensor:
        """(3, H, W) to (N, D)."""
        s, p = self.state, self.patch
        patches = [
            (image[:, r : r + p, c : c + p] * s['vision.patch_embed.projection.weight']).flatten(1).sum(1)
            + s['vision.patch_embed.projection.bias']
            for r in range(0, image.shape[1], p)
            for c in range(0, image.shape[2], p)
        ]
        x = torch.cat([s['vision.cls_token'][0], torch.stack(patches)]) + s['vision.pos_embed'][0]
        for i in range(self.depth):
            name = f'vision.layers.{i}'
            q, k, v = linear(norm(x, s, f'{name}.ln1', 1e-6), s, f'{name}.attn.qkv').chunk(3, -1)
            x = x + linear(softmax_attention(q, k, v, self.heads), s, f'{name}.attn.proj')
            hidden = gelu(linear(norm(x, s, f'{name}.ln2', 1e-6), s, f'{name}.ffn.layers.0.0'))
            x = x + linear(hidden, s, f'{name}.ffn.layers.1') + self.adapter(x, i, 'vision')
        return norm(x, s, 'vision.ln1', 1e-6)

    def attention(self, x, states, name, mask=None, weights=None, kv_adapter=None):
        s = self.state
        q, k, v = (
            linear(x, s, f'{name}.self.query'),
            linear(states, s, f'{name}.self.key'),
            linear(states, s, f'{name}.self.value'),
        )
        if kv_adapter:
            k, v = (
                y
                + s[f'{kv_adapter}.{part}.scale']
                * linear(linear(states, s, f'{kv_adapter}.{part}.down'), s, f'{kv_adapter}.{part}.up')
                for y, part in ((k, 'key'), (v, 'value'))
            )
        if weights is not None:
            k = torch.stack([row * w for row, w in zip(k, weights)])
        out = linear(softmax_attention(q, k, v, self.heads, mask), s, f'{name}.output.dense')
        return norm(out + x, s, f'{name}.output.LayerNorm', 1e-12)

    def text(self, ids: Tensor, states=None, weights=None, tower: str = 'text', causal: bool = False) -> Tensor:
        """Unpadded ids (L,), context states (S, D) or None, key weights (S,) or None, to (L, D)."""
        s = self.state
        x = s[f'{tower}.embeddings.word_embeddings.weight'][ids]
        x = x + s[f'{tower}.embeddings.position_embeddings.weight'][: len(ids)]
        x = norm(x, s, f'{tower}.embeddings.LayerNorm', 1e-12)
        kv = f'adapter.kv_adapters.{tower.split(".")[0]}'
        kv = kv if f'{kv}.key.scale' in s else None
        mask = torch.full((len(ids), len(ids)), -1e4, dtype=x.dtype).triu(1) if causal else None
        for i in range(self.depth):
            name = f'{tower}.encoder.layer.{i}'
            mid = self_out = self.attention(x, x, f'{name}.attention', mask)
            added = self.adapter(self_out, i, 'text')
            if states is not None:
                mid = self.attention(self_out, states, f'{name}.crossattention', None, weights, kv)
                added = added + self.adapter(mid, i, 'multimodal')
            hidden = linear(gelu(linear(mid, s, f'{name}.intermediate.dense')), s, f'{name}.output.dense')
            x = norm(hidden + mid, s, f'{name}.output.LayerNorm', 1e-12) + added
        return x

    def unit(self, x, name):
        y = linear(x, self.state, name)
        return y / y.norm()

    def clip(self, frames: Tensor):
        """(T, 3, H, W) to tokens (T, N, D) and the clip's feature."""
        tokens = torch.stack([self.vision(frame) for frame in frames])
        feature = self.unit(tokens[:, 0].mean(0), 'itc_head.vision_proj')
        table = self.state.get('temporal_embedding.table')
        frame_features = [self.unit(frame[0], 'itc_head.vision_proj') for frame in tokens]
        if table is not None:
            tokens = torch.stack([frame + table[0, t] for t, frame in enumerate(tokens)])
        return tokens, feature, frame_features

    def text_feature(self, ids):
        return self.unit(self.text(ids)[0], 'itc_head.text_proj')

    def frame_weights(self, text_feature, frame_features, tokens_per_frame):
        sims = torch.stack([text_feature @ frame for frame in frame_features])
        exps = torch.exp(sims / 4)
        weights = []
        for w in exps / exps.sum() * len(frame_features):
            weights += [torch.ones_like(w)] + [w] * (tokens_per_frame - 1)
        return torch.stack(weights).detach()

    def match(self, frames: Tensor, ids: Tensor, encode_id: int, frame_aware: bool) -> Tensor:
        """ITM logits (2,) of one pair."""
        tokens, _, frame_features = self.clip(frames)
        weights = None
        if frame_aware and len(frames) > 1:
            weights = self.frame_weights(self.text_feature(ids), frame_features, tokens.shape[1])
        ids = torch.cat([torch.tensor([encode_id]), ids[1:]])
        state = self.text(ids, tokens.flatten(0, 1), weights)[0]
        return linear(state, self.state, 'itm_head.classifier')

    def answer_logits(
        self, frames: Tensor, question: Tensor, answer: Tensor, encode_id: int, decode_id: int, frame_aware: bool
    ) -> Tensor:
        """Next-token logits (L, V) of one answer's unpadded ids, the first replaced by ``decode_id``."""
        tokens, weights = torch.stack([self.vision(frame) for frame in frames]), None
        if frame_aware and len(frames) > 1:
            features = [self.unit(frame[0], 'itc_head.vision_proj') for frame in tokens]
            weights = self.frame_weights(self.text_feature(question), features, tokens.shape[1])
        if 'temporal_embedding.table' in self.state:
            tokens = tokens + self.state['temporal_embedding.table'][0][:, None]
        states = self.text(torch.cat([torch.tensor([encode_id]), question[1:]]), tokens.flatten(0, 1), weights)
        answer = torch.cat([torch.tensor([decode_id]), answer[1:]])
        hidden = self.text(answer, states, tower='decoder.bert', causal=True)
        name = 'decoder.cls.predictions'
        hidden = gelu(linear(hidden, self.state, f'{name}.transform.dense'))
        return linear(norm(hidden, self.state, f'{name}.transform.LayerNorm', 1e-12), self.state, f'{name}.decoder')


def cross_entropy(logits: Tensor, label: int) -> Tensor:
    return -F.log_softmax(logits, -1)[label]
