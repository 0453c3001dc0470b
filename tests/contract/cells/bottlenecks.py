"""Small two-layer maps at the outputs of branches and linear maps."""

METHODS = dict(
    bottleneck=dict(type='Bottleneck', bottleneck=3, targets={}),
    bottleneck_stream=dict(
        type='Bottleneck', bottleneck=3, position='stream', norm_before=True, norm_after=True, targets={}
    ),
    bottleneck_per_task=dict(
        type='Bottleneck', bottleneck=3, tasks=['one', 'two'], share='down', targets=dict(kinds=['ffn'])
    ),
    bottleneck_parallel_o=dict(type='Bottleneck', bottleneck=3, form='parallel', targets=dict(linears=['o'])),
)

#: What the message of a refusal says.
REFUSED = {
    # BEiT scales its branches by bare parameters, so that no module gives h.
    ('bottleneck', 'beit'): 'passes no module in this backbone',
    ('bottleneck_stream', 'beit'): 'passes no module in this backbone',
    ('bottleneck_per_task', 'beit'): 'passes no module in this backbone',
}
