# LoRA of rank 16 on all linear maps of the language model of InternVL3-2B; your own conversations.
_base_ = [
    '../_base_/models/internvl3-2b.py',
    '../_base_/datasets/chat_own.py',
    '../_base_/schedules/adamw_linear_chat.py',
    '../_base_/chat_runtime.py',
]
model = dict(adapter=dict(type='LoRA', rank=16, alpha=32, targets=dict(towers=['lm'])))
default_hooks = dict(checkpoint=dict(save_best='open_ended/accuracy'))
