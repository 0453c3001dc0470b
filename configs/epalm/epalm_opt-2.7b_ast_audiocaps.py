# eP-ALM with OPT-2.7B and AST, AudioCaps, 4 GPUs x 8 captions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_ast.py',
    '../_base_/datasets/audiocaps.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
param_scheduler = dict(end=30)
train_cfg = dict(max_epochs=30)
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
