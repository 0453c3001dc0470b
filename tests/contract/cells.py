"""The matrix of the contract: methods, and where they cannot stand."""

METHODS = dict(
    lora=dict(type='LoRA', rank=2, targets={}),
    bottleneck=dict(type='Bottleneck', bottleneck=3, targets={}),
    bottleneck_parallel_o=dict(type='Bottleneck', bottleneck=3, form='parallel', targets=dict(linears=['o'])),
    gate_large=dict(type='Gate', granularity='large', targets={}),
    gate_middle_y=dict(type='Gate', granularity='middle_y', targets={}),
    vlpet_middle_x=dict(type='VLPET', granularity='middle_x', bottleneck=4, targets={}, value_bottleneck=None),
    vlpet_small=dict(type='VLPET', granularity='small', bottleneck=4, targets={}, value_bottleneck=None),
    uniadapter=dict(type='UniAdapter', bottleneck=4, modalities=['vision', 'text'], share='none', init='normal'),
    composed=[
        dict(type='LoRA', rank=2, targets=dict(linears=['o'])),
        dict(type='Bottleneck', bottleneck=3, targets=dict(kinds=['ffn'])),
    ],
    epalm=dict(type='EPALM', levels=1, start=0, end=1),
)
REFUSED: dict[tuple[str, str], str] = {}
