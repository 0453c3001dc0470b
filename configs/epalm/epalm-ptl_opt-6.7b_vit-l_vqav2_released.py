# epalm-ptl_opt-6.7b_vit-l_vqav2.py as released (docs/reproducing.md): 8 GPUs x 2 questions.
_base_ = [
    '../_base_/models/epalm-ptl_opt-6.7b_vit-l.py',
    '../_base_/datasets/epalm_vqav2_standard_released.py',
    '../_base_/schedules/epalm_35e_qa_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = {{_base_.released}}
train_dataloader = dict(batch_size=2)
val_dataloader = dict(batch_size=16)
test_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(save_best='vlt5/accuracy'))
