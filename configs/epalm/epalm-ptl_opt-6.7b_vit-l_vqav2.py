# eP-ALM_pt-L: OPT-6.7B and ViT-L/16, VQA v2, 8 GPUs x 2 questions.
_base_ = [
    '../_base_/models/epalm-ptl_opt-6.7b_vit-l.py',
    '../_base_/datasets/epalm_vqav2_standard.py',
    '../_base_/schedules/epalm_35e.py',
    '../_base_/seq2seq_runtime.py',
]
train_dataloader = dict(batch_size=2)
val_dataloader = dict(batch_size=16)
test_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=16)
