# BitFit: offsets of the biases of all blocks and norms, otherwise as UniAdapter's MSRVTT-QA recipe.
_base_ = '../uniadapter/blip_msrvtt_qa.py'
model = dict(adapter=dict(_delete_=True, type='BitFit', targets=dict()))
