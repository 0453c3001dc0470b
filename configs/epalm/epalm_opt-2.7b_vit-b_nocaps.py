# Trained as epalm_opt-2.7b_vit-b_coco-caption.py, tested on NoCaps' 4,500 validation images, ten captions each:
#   data/nocaps/{nocaps_val_4500_captions.json, val/0013ea2087020901.jpg, …}
_base_ = './epalm_opt-2.7b_vit-b_coco-caption.py'
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='COCOCaption',
        data_root='data/nocaps/',
        ann_file='nocaps_val_4500_captions.json',
        data_prefix=dict(media='val'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    )
)
