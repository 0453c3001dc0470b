# One linear map leads the 196 patches of ViT-B/16 into SmolLM2-135M as rows before the question; nothing else trains.
_base_ = '../epalm/epalm_smollm2-135m_vit-b_vqav2.py'
model = dict(adapter=None, connector=dict(tokens='patches'))
