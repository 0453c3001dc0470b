# As epalm_msvd_qa.py with the release's ways, see epalm_msrvtt_qa_released.py.
_base_ = './epalm_msrvtt_qa_released.py'
data_root = 'data/msvd/'
train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_train.json'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_val.json'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='annotation/msvd_vqa_test.json'))
