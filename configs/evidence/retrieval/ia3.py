# IA3: scales of keys, values and hidden units.
_base_ = './_staged_.py'
model = dict(adapter=dict(type='IA3', targets=dict()))
