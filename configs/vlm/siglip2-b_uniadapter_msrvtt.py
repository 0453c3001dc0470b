# UniAdapter (r = 128) on SigLIP 2, its down-projections shared by both towers; otherwise as siglip2-b_lora_msrvtt.
_base_ = './siglip2-b_lora_msrvtt.py'
model = dict(adapter=dict(_delete_=True, type='UniAdapter', bottleneck=128, modalities=('vision', 'text')))
