"""Small two-layer maps at the outputs of branches and linear maps."""

METHODS = dict(
    bottleneck=dict(type='Bottleneck', bottleneck=3, targets={}),
    bottleneck_stream=dict(
        type='Bottleneck', bottleneck=3, position='stream', norm_before=True, norm_after=True, targets={}
    ),
    bottleneck_per_task=dict(
        type='Bottleneck', bottleneck=3, tasks=['one', 'two'], share='down', targets=dict(kinds=['ffn'])
    ),
    compacter=dict(type='Compacter', bottleneck=4, targets=dict(kinds=['ffn'])),
    compacter_shared=dict(type='Compacter', bottleneck=4, share_rule=True, rank=1, targets={}),
    hyperformer=dict(
        type='Hyperformer', bottleneck=3, embedding=4, hidden=5, projection=3, tasks=['one', 'two'], targets={}
    ),
    bottleneck_parallel_o=dict(type='Bottleneck', bottleneck=3, form='parallel', targets=dict(linears=['o'])),
)

_NO_MODULE = 'passes no module in this backbone'
#: What the message of a refusal says.
REFUSED = {
    # BEiT scales its branches by bare parameters, so that no module gives h.
    ('bottleneck', 'beit'): _NO_MODULE,
    ('bottleneck_stream', 'beit'): _NO_MODULE,
    ('bottleneck_per_task', 'beit'): _NO_MODULE,
    ('compacter', 'beit'): _NO_MODULE,
    ('compacter_shared', 'beit'): _NO_MODULE,
    ('hyperformer', 'beit'): _NO_MODULE,
}
