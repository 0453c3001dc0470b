"""Config of a retriever with the geometry of ``fabricated``."""

import fabricated
from fabricated import DEPTH, EMBED, HIDDEN, PATCH, POSITIONS, VOCABULARY, WIDTH

ADAPTER = dict(type='UniAdapter', bottleneck=fabricated.BOTTLENECK, kv_bottleneck=fabricated.KV_BOTTLENECK)
VIT_ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=2, feedforward_channels=HIDDEN)


def config(**changes):
    return dict(
        type='Retriever',
        vision=dict(
            type='mmpretrain.VisionTransformer',
            arch=VIT_ARCH,
            img_size=2 * PATCH,
            patch_size=PATCH,
            out_type='raw',
            final_norm=True,
        ),
        text=dict(
            type='BlipTextEncoder',
            vocab_size=VOCABULARY,
            width=WIDTH,
            depth=DEPTH,
            heads=2,
            hidden=HIDDEN,
            context_width=WIDTH,
            max_positions=POSITIONS,
        ),
        itc_head=dict(type='ITCHead', vision_width=WIDTH, text_width=WIDTH, embed_width=EMBED, queue_size=6),
        itm_head=dict(type='ITMHead', width=WIDTH),
        **changes,
    )
