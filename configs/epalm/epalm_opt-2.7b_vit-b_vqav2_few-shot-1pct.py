# eP-ALM with OPT-2.7B and ViT-B/16, 1 % of VQA v2's own training questions, drawn with seed 0 whatever the run's seed;
# the figure is that of all of val (214,354), of which karpathy_val, which chooses the epoch, is an eighth:
#   data/epalm/vqa/{train_standard.json, karpathy_val.json, val_standard.json, v2_mscoco_val2014_annotations.json}
_base_ = './epalm_opt-2.7b_vit-b_vqav2.py'
train_dataloader = dict(dataset=dict(ann_file='vqa/train_standard.json', fraction=0.01, seed=0))
test_dataloader = dict(dataset=dict(ann_file='vqa/val_standard.json'))
