"""Several methods at once."""

METHODS = dict(
    composed=[
        dict(type='LoRA', rank=2, targets=dict(linears=['o'])),
        dict(type='Bottleneck', bottleneck=3, targets=dict(kinds=['ffn'])),
    ],
    # Both can be merged, and do not commute.
    composed_maps=[
        dict(type='LoRA', rank=2, targets=dict(linears=['o', 'fc2'])),
        dict(type='IA3', targets=dict(linears=['o', 'fc2'])),
    ],
)

#: What the message of a refusal says.
REFUSED = {
    # BEiT scales its branches by bare parameters, so that no module gives h.
    ('composed', 'beit'): 'passes no module in this backbone',
}
