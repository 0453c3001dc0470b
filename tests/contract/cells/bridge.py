"""Layers of Hugging Face PEFT at our sites."""

METHODS = dict(
    hfpeft_adalora=dict(type='HFPEFT', config=dict(type='AdaLoraConfig', init_r=3, total_step=9), targets={}),
    hfpeft_ia3=dict(type='HFPEFT', config=dict(type='IA3Config'), targets=dict(linears=['o', 'fc2'])),
    hfpeft_oft=dict(type='HFPEFT', config=dict(type='OFTConfig', oft_block_size=4), targets=dict(linears=['o'])),
)

#: What the message of a refusal says.
REFUSED: dict[tuple[str, str], str] = {}
