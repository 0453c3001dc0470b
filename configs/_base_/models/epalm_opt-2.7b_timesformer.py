# As epalm_opt-2.7b_vit-b.py, with TimeSformer-B (Kinetics-600) for videos of 8 frames. Its authors hand out the file
# without a stable address: place it at data/timesformer/.
_base_ = './epalm_opt-2.7b_vit-b.py'
model = dict(
    encoder=dict(_delete_=True, type='TimeSformer', num_frames=8, img_size=224, patch_size=16),
    base_checkpoint=dict(encoder=dict(source='data/timesformer/TimeSformer_divST_8x32_224_K600.pyth')),
)
