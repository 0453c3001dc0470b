# As lora_qwen2.5-vl-3b_own-chat.py, fully sharded over several GPUs.
_base_ = ['./lora_qwen2.5-vl-3b_own-chat.py', '../_base_/fsdp.py']
model = dict(gradient_checkpointing=())  # the strategy's
