# As epalm-ptl_opt-6.7b_vit-l_vqav2.py, fully sharded over the 8 GPUs, in bfloat16, with gradient checkpointing.
_base_ = ['./epalm-ptl_opt-6.7b_vit-l_vqav2.py', '../_base_/fsdp.py']
