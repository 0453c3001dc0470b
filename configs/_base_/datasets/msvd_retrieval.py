# MSVD retrieval (1,200 / 100 / 670 clips, some 40 captions each), 8 frames at 224 px (docs/data.md):
#   data/msvd/{raw-captions.pkl, train_list.txt, val_list.txt, test_list.txt, videos/-4wsuPCjDBc_5_15.avi, …}
_base_ = './jsonl_retrieval.py'
data_root = 'data/msvd/'
train_dataloader = dict(
    dataset=dict(type='MSVDRetrieval', data_root=data_root, ann_file='raw-captions.pkl', split='train')
)
val_dataloader = dict(dataset=dict(type='MSVDRetrieval', data_root=data_root, ann_file='raw-captions.pkl', split='val'))
test_dataloader = dict(
    dataset=dict(type='MSVDRetrieval', data_root=data_root, ann_file='raw-captions.pkl', split='test')
)
