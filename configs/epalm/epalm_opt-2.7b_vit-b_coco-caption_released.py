# epalm_opt-2.7b_vit-b_coco-caption.py with the released code's ways: a slot that sees everything, dropout in the
# frozen parts, lengths that count the prompt, the older beam rule, and its wiring of rates.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_coco_caption_released.py',
    '../_base_/schedules/epalm_8e_caption_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    visual_row='full',
    padding='right',
    released_dropout=True,
    tasks=dict(
        vqa=dict(count_prompt=True, beam_rule='released'), caption=dict(count_prompt=True, beam_rule='released')))
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
