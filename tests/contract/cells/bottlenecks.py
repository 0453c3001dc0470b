"""Small two-layer maps at the outputs of branches and linear maps."""

METHODS = dict(
    bottleneck=dict(type='Bottleneck', bottleneck=3, targets={}),
    bottleneck_parallel_o=dict(type='Bottleneck', bottleneck=3, form='parallel', targets=dict(linears=['o'])),
)

#: What the message of a refusal says.
REFUSED = {
    # BEiT scales its branches by bare parameters, so that no module gives h.
    ('bottleneck', 'beit'): 'passes no module in this backbone',
}
