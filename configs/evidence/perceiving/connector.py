# As in LLaVA: an MLP leads the 25 patches in as rows before the question; nothing else trains.
_base_ = './_tasks_.py'
model = dict(adapter=None, connector=dict(tokens='patches', hidden=576))
