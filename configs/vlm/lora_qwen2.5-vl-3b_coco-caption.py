# LoRA of rank 16 on all linear maps of the language model of Qwen2.5-VL-3B; COCO captions.
_base_ = [
    '../_base_/models/qwen2.5-vl-3b.py',
    '../_base_/datasets/chat_coco_caption.py',
    '../_base_/schedules/adamw_linear_chat.py',
    '../_base_/chat_runtime.py',
]
model = dict(adapter=dict(type='LoRA', rank=16, alpha=32, targets=dict(towers=['lm'])))
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
