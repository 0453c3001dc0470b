# The soft prompt alone: OPT sees nothing.
_base_ = './_questions_.py'
model = dict(adapter=dict(type='EPALM', levels=0, prompt_length=10))
