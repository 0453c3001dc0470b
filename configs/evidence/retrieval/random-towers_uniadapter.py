# As uniadapter.py, on the base of random towers.
_base_ = './uniadapter.py'
model = dict(base_checkpoint=dict(source='work_dirs/evidence/retrieval/base_random-towers/epoch_8.pth'))
