# UniAdapter on CLIP ViT-B/16, a dual encoder: text width 512 beside vision width 768, so no module is shared between
# towers; trained and ranked by features alone.
_base_ = './blip_msrvtt.py'
clip = 'openai/clip-vit-base-patch16'
model = dict(
    vision=dict(
        norm_cfg=dict(type='LN', eps=1e-5), pre_norm=True, layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU'))
    ),
    text=dict(_delete_=True, type='ClipTextEncoder'),
    vocabulary=clip,
    itc_head=dict(text_width=512, embed_width=512, temperature=0.01),
    itm_head=None,
    adapter=dict(share='none', modalities=('vision', 'text')),
    frame_aware=False,
    base_checkpoint=dict(source=f'https://huggingface.co/{clip}/resolve/main/pytorch_model.bin'),
)
val_cfg = dict(k_test=0)
test_cfg = dict(k_test=0)
