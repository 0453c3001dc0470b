# eP-ALM with SmolLM2-135M and ViT-B/16, VQA v2, 4 GPUs x 64 questions.
_base_ = [
    '../_base_/models/epalm_smollm2-135m_vit-b.py',
    '../_base_/datasets/epalm_vqav2.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
