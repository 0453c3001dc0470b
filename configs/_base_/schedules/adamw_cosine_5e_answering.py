# Video question answering: the recipe of video retrieval, with MMEngine's own loops.
_base_ = './adamw_cosine_5e.py'
val_cfg = dict(_delete_=True, type='ValLoop')
test_cfg = dict(_delete_=True, type='TestLoop')
