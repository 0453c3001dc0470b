# blip_coco.py as released (docs/reproducing.md): cross-modal norms that stay frozen, shared adapters averaged twice a
# step in the momentum model.
_base_ = './blip_coco.py'
model = dict(adapter=dict(train_cross_norm=False), momentum=dict(adapter_decay=0.995**2))
