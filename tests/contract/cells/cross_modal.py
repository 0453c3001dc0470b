"""VL-PET with its gates, UniAdapter and eP-ALM."""

METHODS = dict(
    gate_large=dict(type='Gate', granularity='large', targets={}),
    gate_middle_y=dict(type='Gate', granularity='middle_y', targets={}),
    vlpet_middle_x=dict(type='VLPET', granularity='middle_x', bottleneck=4, targets={}, value_bottleneck=None),
    vlpet_small=dict(type='VLPET', granularity='small', bottleneck=4, targets={}, value_bottleneck=None),
    vlpet=dict(type='VLPET', granularity='small', mean='masked', bottleneck=4, value_bottleneck=3),
    uniadapter=dict(type='UniAdapter', bottleneck=4, modalities=['vision', 'text'], share='none', init='normal'),
    epalm=dict(type='EPALM', levels=1, start=0, end=1),
)

_NO_MODULE = 'passes no module in this backbone'
_CAUSAL = 'is causal: a token would see its successors'
_NO_DECODER = "unknown towers ['encoder']"
_NO_LM, _NO_ENCODER = 'EPALM needs a tower "lm"', 'EPALM needs a tower "encoder"'
#: What the message of a refusal says.
REFUSED = {
    # BEiT scales its branches by bare parameters, so that no module gives h.
    ('gate_large', 'beit'): _NO_MODULE,
    ('gate_middle_y', 'beit'): _NO_MODULE,
    ('vlpet_middle_x', 'beit'): _NO_MODULE,
    ('vlpet_small', 'beit'): _NO_MODULE,
    # The small gate averages over the tokens of a sample.
    ('vlpet_small', 'bart'): _CAUSAL,
    ('vlpet_small', 't5'): _CAUSAL,
    ('vlpet_small', 't5_gated'): _CAUSAL,
    ('vlpet_small', 'opt'): _CAUSAL,
    ('vlpet_small', 'opt_post_norm'): _CAUSAL,
    ('vlpet_small', 'gpt2'): _CAUSAL,
    ('vlpet_small', 'llama'): _CAUSAL,
    ('vlpet_small', 'clip'): _CAUSAL,
    ('vlpet_small', 'blip_decoder'): _CAUSAL,
    # VL-PET's own places are an encoder and the cross-attentions of a decoder.
    ('vlpet', 'opt'): _NO_DECODER,
    ('vlpet', 'opt_post_norm'): _NO_DECODER,
    ('vlpet', 'gpt2'): _NO_DECODER,
    ('vlpet', 'llama'): _NO_DECODER,
    ('vlpet', 'clip'): _NO_DECODER,
    ('vlpet', 'siglip'): _NO_DECODER,
    ('vlpet', 'vit'): _NO_DECODER,
    ('vlpet', 'dinov2'): _NO_DECODER,
    ('vlpet', 'dinov2_giant'): _NO_DECODER,
    ('vlpet', 'beit'): _NO_DECODER,
    ('vlpet', 'eva02'): _NO_DECODER,
    ('vlpet', 'timesformer'): _NO_DECODER,
    ('vlpet', 'blip_text'): _NO_DECODER,
    ('vlpet', 'blip_decoder'): _NO_DECODER,
    # eP-ALM joins a language model and an encoder, which PerceptualLM holds; none of these models has both.
    ('epalm', 'opt'): _NO_ENCODER,
    ('epalm', 'opt_post_norm'): _NO_ENCODER,
    ('epalm', 'gpt2'): _NO_ENCODER,
    ('epalm', 'llama'): _NO_ENCODER,
    ('epalm', 'bart'): _NO_LM,
    ('epalm', 't5'): _NO_LM,
    ('epalm', 't5_gated'): _NO_LM,
    ('epalm', 'clip'): _NO_LM,
    ('epalm', 'siglip'): _NO_LM,
    ('epalm', 'vit'): _NO_LM,
    ('epalm', 'dinov2'): _NO_LM,
    ('epalm', 'dinov2_giant'): _NO_LM,
    ('epalm', 'beit'): _NO_LM,
    ('epalm', 'eva02'): _NO_LM,
    ('epalm', 'timesformer'): _NO_LM,
    ('epalm', 'blip_text'): _NO_LM,
    ('epalm', 'blip_decoder'): _NO_LM,
}
