# eP-ALM with OPT-2.7B and TimeSformer-B, MSVD-QA (30,933 / 6,415 / 13,157 questions), as MSRVTT-QA:
#   data/msvd/annotation/msvd_vqa_{train,val,test}.json
#   data/msvd/videos/all/mv89psg6zh4_33_46.avi …
# The published files do as well: ann_file='train_qa.json' and so on, mapping='youtube_mapping.txt',
# data_prefix=dict(media='videos').
_base_ = './epalm_opt-2.7b_timesformer_msrvtt-qa.py'
data_root = 'data/msvd/'
train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_train.json'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_val.json'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_test.json'))
