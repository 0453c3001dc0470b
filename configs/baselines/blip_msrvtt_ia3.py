# IA3: scales of keys, values and hidden units, otherwise as UniAdapter's MSR-VTT recipe.
_base_ = '../uniadapter/blip_msrvtt.py'
model = dict(adapter=dict(_delete_=True, type='IA3', targets=dict()))
