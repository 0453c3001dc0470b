# BitFit: offsets of every bias, otherwise as UniAdapter's MSRVTT-QA recipe.
_base_ = '../uniadapter/blip_msrvtt_qa.py'
model = dict(adapter=dict(_delete_=True, type='BitFit', targets=dict()))
