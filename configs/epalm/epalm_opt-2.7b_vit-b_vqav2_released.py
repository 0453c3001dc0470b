# epalm_opt-2.7b_vit-b_vqav2.py with the released code's ways: a slot that sees everything, padding on the right,
# dropout in the frozen parts, lengths that count the prompt, the older beam rule, an unscheduled prompt.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_vqav2_released.py',
    '../_base_/schedules/epalm_8e_qa_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    visual_row='full',
    padding='right',
    released_dropout=True,
    tasks=dict(
        vqa=dict(count_prompt=True, beam_rule='released'), caption=dict(count_prompt=True, beam_rule='released')))
