# eP-ALM: six connectors, one for each level, and a soft prompt of ten rows.
_base_ = './_tasks_.py'
model = dict(adapter=dict(levels=6, start=17, end=29, prompt_length=10, prompt_mlp=True))
