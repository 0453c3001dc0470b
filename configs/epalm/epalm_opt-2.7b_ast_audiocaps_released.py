# epalm_opt-2.7b_ast_audiocaps.py as released (docs/reproducing.md): 4 GPUs x 8 captions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_ast.py',
    '../_base_/datasets/audiocaps_released.py',
    '../_base_/schedules/epalm_30e_caption_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = {{_base_.released}}
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
