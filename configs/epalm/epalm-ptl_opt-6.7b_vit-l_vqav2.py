# eP-ALM_pt-L: OPT-6.7B and ViT-L/16, VQA v2 on its own splits: train (443,757 questions), the best epoch by
# karpathy_val (26,729), and the figure on val (214,354), of which karpathy_val is an eighth; 8 GPUs x 2 questions.
#   data/epalm/vqa/{train_standard.json, karpathy_val.json, val_standard.json, v2_mscoco_val2014_annotations.json}
_base_ = [
    '../_base_/models/epalm-ptl_opt-6.7b_vit-l.py',
    '../_base_/datasets/epalm_vqav2.py',
    '../_base_/schedules/epalm_35e.py',
    '../_base_/seq2seq_runtime.py',
]
train_dataloader = dict(batch_size=2, dataset=dict(ann_file='vqa/train_standard.json'))
val_dataloader = dict(batch_size=16)
test_dataloader = dict(batch_size=16, dataset=dict(ann_file='vqa/val_standard.json'))
auto_scale_lr = dict(base_batch_size=16)
