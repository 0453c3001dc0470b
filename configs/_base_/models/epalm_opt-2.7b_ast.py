# As epalm_opt-2.7b_vit-b.py, with AST (AudioSet) for sounds of ten seconds. Place its file at data/ast/.
_base_ = './epalm_opt-2.7b_vit-b.py'
model = dict(
    encoder=dict(_delete_=True, type='AST', num_frames=1024, num_bins=128),
    data_preprocessor=dict(type='FeatureDataPreprocessor'),
    base_checkpoint=dict(encoder=dict(source='data/ast/audioset_10_10_0.4593.pth')),
)
