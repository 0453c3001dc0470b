# eP-ALM: connectors from three depths of the encoder, and a soft prompt.
_base_ = './_questions_.py'
model = dict(adapter=dict(type='EPALM', levels=3, start=1, end=5, prompt_length=10))
