# The connectors of eP-ALM alone, without a soft prompt.
_base_ = './epalm.py'
model = dict(adapter=dict(prompt_length=0))
