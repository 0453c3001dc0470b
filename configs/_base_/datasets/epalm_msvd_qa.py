# MSVD-QA (30,933 / 6,415 / 13,157 questions) for eP-ALM, 8 frames, from its annotations (docs/data.md):
#   data/msvd/annotation/msvd_vqa_{train,val,test}.json
#   data/msvd/videos/all/mv89psg6zh4_33_46.avi …
# The published files do as well: ann_file='train_qa.json' and so on, mapping='youtube_mapping.txt',
# data_prefix=dict(media='videos').
_base_ = './epalm_msrvtt_qa.py'
data_root = 'data/msvd/'
train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_train.json'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_val.json'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_test.json'))
