# VQA v2's own splits, as eP-ALM_pt-L and the few-shot runs use them: train (443,757 questions), the best epoch by
# karpathy_val (26,729), and the figure on val (214,354), of which karpathy_val is an eighth:
#   data/epalm/vqa/{train_standard.json, karpathy_val.json, val_standard.json, v2_mscoco_val2014_annotations.json}
_base_ = './epalm_vqav2.py'
train_dataloader = dict(dataset=dict(ann_file='vqa/train_standard.json'))
test_dataloader = dict(dataset=dict(ann_file='vqa/val_standard.json'))
