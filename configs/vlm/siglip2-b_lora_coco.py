# LoRA of rank 16 on the queries and values of both towers of SigLIP 2 at 384 px, COCO Karpathy 5k, 8 GPUs x 32 images.
_base_ = [
    '../_base_/datasets/coco_retrieval.py',
    '../_base_/schedules/adamw_cosine_6e.py',
    '../_base_/default_runtime.py',
    '../_base_/models/siglip2-b.py',
]
model = dict(
    vision=dict(config=dict(image_size=384)),
    adapter=dict(type='LoRA', rank=16, targets=dict(kinds=['self_attn'], linears=['q', 'v'])),
    base_checkpoint=dict(
        source='https://huggingface.co/google/siglip2-base-patch16-384/resolve/main/model.safetensors'
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
val_cfg = dict(k_test=0)
test_cfg = dict(k_test=0, folds=5)  # the mean over five folds of 1k images, beside 5k
