# epalm_opt-2.7b_timesformer_msrvtt-caption.py as released (docs/reproducing.md): 4 GPUs x 16 captions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_timesformer.py',
    '../_base_/datasets/epalm_msrvtt_caption_released.py',
    '../_base_/schedules/epalm_26e_caption_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(_base_.released, encoder=dict(num_frames=16))
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
