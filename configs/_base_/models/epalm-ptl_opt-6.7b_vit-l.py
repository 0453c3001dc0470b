# eP-ALM_pt-L: OPT-6.7B and ViT-L/16, one connector for all levels, the soft prompt a bare table.
_base_ = './epalm_opt-2.7b_vit-b.py'
vit_l = dict(
    source='https://storage.googleapis.com/vit_models/augreg/L_16-i21k-300ep-lr_0.001-'
    'aug_medium1-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_224.npz'
)
model = dict(_base_.ptl, encoder=dict(arch='large'), base_checkpoint=dict(_base_.ptl.base_checkpoint, encoder=vit_l))
