# eP-ALM with one connector for all levels.
_base_ = './epalm.py'
model = dict(adapter=dict(shared_connector=True))
