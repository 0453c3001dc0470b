# As epalm_vqav2_released.py with the splits of eP-ALM_pt-L: trained on train_standard, chosen by and tested on
# karpathy_val. The paper's figure on all of val: test_dataloader.dataset.ann_file=vqa/val_standard.json.
_base_ = './epalm_vqav2_released.py'
train_dataloader = dict(dataset=dict(ann_file='vqa/train_standard.json'))
test_dataloader = dict(dataset=dict(ann_file='vqa/karpathy_val.json'))
