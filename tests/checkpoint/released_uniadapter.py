"""Files of UniAdapter's released code at a tiny geometry, from its list of keys, which is written out here in full."""

import tiny_retriever
import torch
from fabricated import BOTTLENECK, DEPTH, EMBED, FRAMES, HIDDEN, KV_BOTTLENECK, PATCH, POSITIONS, VOCABULARY, WIDTH

# One number: gain and bias of a LayerNorm. A pair: weight (out, in) and bias of a linear map. Bare tensors apart.
BERT = {
    'embeddings.LayerNorm': WIDTH,
    'encoder.layer.{i}.attention.self.query': (WIDTH, WIDTH),
    'encoder.layer.{i}.attention.self.key': (WIDTH, WIDTH),
    'encoder.layer.{i}.attention.self.value': (WIDTH, WIDTH),
    'encoder.layer.{i}.attention.output.dense': (WIDTH, WIDTH),
    'encoder.layer.{i}.attention.output.LayerNorm': WIDTH,
    'encoder.layer.{i}.crossattention.self.query': (WIDTH, WIDTH),
    'encoder.layer.{i}.crossattention.self.key': (WIDTH, WIDTH),
    'encoder.layer.{i}.crossattention.self.value': (WIDTH, WIDTH),
    'encoder.layer.{i}.crossattention.output.dense': (WIDTH, WIDTH),
    'encoder.layer.{i}.crossattention.output.LayerNorm': WIDTH,
    'encoder.layer.{i}.intermediate.dense': (HIDDEN, WIDTH),
    'encoder.layer.{i}.output.dense': (WIDTH, HIDDEN),
    'encoder.layer.{i}.output.LayerNorm': WIDTH,
    'encoder.video_key_adapter.down_proj': (KV_BOTTLENECK, WIDTH),
    'encoder.video_key_adapter.up_proj': (WIDTH, KV_BOTTLENECK),
    'encoder.video_value_adapter.down_proj': (KV_BOTTLENECK, WIDTH),
    'encoder.video_value_adapter.up_proj': (WIDTH, KV_BOTTLENECK),
}
BERT_TENSORS = {
    'embeddings.word_embeddings.weight': (VOCABULARY, WIDTH),
    'embeddings.position_embeddings.weight': (POSITIONS, WIDTH),
    'encoder.video_key_adapter.scale': (1,),
    'encoder.video_value_adapter.scale': (1,),
    'encoder.time_embed': (1, FRAMES, WIDTH),
}
VISION = {
    'visual_encoder.blocks.{i}.norm1': WIDTH,
    'visual_encoder.blocks.{i}.attn.qkv': (3 * WIDTH, WIDTH),
    'visual_encoder.blocks.{i}.attn.proj': (WIDTH, WIDTH),
    'visual_encoder.blocks.{i}.norm2': WIDTH,
    'visual_encoder.blocks.{i}.mlp.fc1': (HIDDEN, WIDTH),
    'visual_encoder.blocks.{i}.mlp.fc2': (WIDTH, HIDDEN),
    'visual_encoder.norm': WIDTH,
}
VISION_TENSORS = {
    'visual_encoder.cls_token': (1, 1, WIDTH),
    'visual_encoder.pos_embed': (1, 5, WIDTH),
    'visual_encoder.patch_embed.proj.weight': (WIDTH, 3, PATCH, PATCH),
    'visual_encoder.patch_embed.proj.bias': (WIDTH,),
}
ADAPTER = {
    'adapter_layer_norm_before': WIDTH,
    'adapter_layer_norm_cross_modal': WIDTH,
    'down_proj': (BOTTLENECK, WIDTH),
    'up_proj': (WIDTH, BOTTLENECK),
    'multi_up_proj': (WIDTH, BOTTLENECK),
    'visual_up_proj': (WIDTH, BOTTLENECK),
}
# The same tensors under each of these.
RETRIEVAL_PLACES = (
    'adapters.{i}',
    'visual_encoder.adapters.{i}',
    'visual_encoder.blocks.{i}.adapter',
    'text_encoder.encoder.layer.{i}.adapter',
)
VQA_PLACES = (*RETRIEVAL_PLACES, 'text_decoder.bert.encoder.layer.{i}.adapter')
WITH_MOMENTUM = ('visual_encoder', 'text_encoder', 'vision_proj', 'text_proj', 'adapters')


def retrieval(temporal: bool = True) -> dict:
    """A retriever's state dict. The momentum copies are those of a first step: equal to the weights."""
    weights = {
        **_towers('text_encoder'),
        **_adapters(RETRIEVAL_PLACES),
        **_draw(dict(vision_proj=(EMBED, WIDTH), text_proj=(EMBED, WIDTH), itm_head=(2, WIDTH)), {}),
        'temp': torch.tensor(0.06),
    }
    if not temporal:
        del weights['text_encoder.encoder.time_embed']
    momentum = {}
    for key, value in weights.items():
        part, _, rest = key.partition('.')
        if part in WITH_MOMENTUM:
            momentum[f'{part}_m.{rest}'] = value
    queues = dict(
        image_queue=torch.randn(EMBED, 6),
        text_queue=torch.randn(EMBED, 6),
        idx_queue=torch.full((1, 6), -100),
        ptr_queue=torch.zeros(1, dtype=torch.long),
    )
    return {**weights, **momentum, **queues}


def vqa() -> dict:
    """A question answerer's state dict: word embeddings and vocabulary projection are one tensor with two names."""
    weights = {**_towers('text_encoder', 'text_decoder.bert'), **_adapters(VQA_PLACES)}
    head = 'text_decoder.cls.predictions'
    weights.update(_draw({f'{head}.transform.dense': (WIDTH, WIDTH), f'{head}.transform.LayerNorm': WIDTH}, {}))
    weights[f'{head}.decoder.weight'] = weights['text_decoder.bert.embeddings.word_embeddings.weight']
    weights[f'{head}.bias'] = weights[f'{head}.decoder.bias'] = torch.randn(VOCABULARY)
    weights['text_decoder.bert.encoder.time_embed'] = weights['text_encoder.encoder.time_embed']
    return {**weights, **_adapters(('adapters_dec.{i}',))}


def vqa_config(tied: bool = True, **changes) -> dict:
    """Config of the question answerer that :func:`vqa` belongs to."""
    retriever = tiny_retriever.config()
    bert = dict(
        vocab_size=VOCABULARY,
        width=WIDTH,
        depth=DEPTH,
        heads=2,
        hidden=HIDDEN,
        context_width=WIDTH,
        max_positions=POSITIONS,
    )
    return dict(
        dict(
            type='GenerativeVQA',
            vision=retriever['vision'],
            text=retriever['text'],
            decoder=dict(type='BlipTextDecoder', tie_word_embeddings=tied, **bert),
            adapter=tiny_retriever.ADAPTER,
            temporal_frames=FRAMES,
        ),
        **changes,
    )


def _towers(*texts: str) -> dict:
    weights = _draw(VISION, VISION_TENSORS)
    for text in texts:
        weights.update(
            _draw(
                {f'{text}.{key}': shape for key, shape in BERT.items()},
                {f'{text}.{key}': shape for key, shape in BERT_TENSORS.items()},
            )
        )
        weights[f'{text}.embeddings.position_ids'] = torch.arange(POSITIONS)[None]
    return weights


def _adapters(places) -> dict:
    once = _draw({f'{{i}}.{key}': shape for key, shape in ADAPTER.items()}, {})
    out = {}
    for key, tensor in once.items():
        i, _, tail = key.partition('.')
        out.update({f'{place.format(i=i)}.{tail}': tensor for place in places})
    return out


def _draw(layers: dict, tensors: dict) -> dict:
    out = {key: torch.randn(shape) for key, shape in tensors.items()}
    for pattern, shape in layers.items():
        for name in dict.fromkeys(pattern.format(i=i) for i in range(DEPTH)):
            rows = shape if isinstance(shape, int) else shape[0]
            out[f'{name}.weight'], out[f'{name}.bias'] = torch.randn(shape), torch.randn(rows)
    return out
