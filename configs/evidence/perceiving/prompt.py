# The soft prompt alone: the language model sees nothing, and learns what questions give away.
_base_ = './epalm.py'
model = dict(adapter=dict(levels=0, start=None, end=None))
