"""Learned rows before texts, before keys and values, and beside patches."""

METHODS = dict(
    prompt=dict(type='PromptTuning', length=2),
    prompt_mlp=dict(type='PromptTuning', length=2, hidden=5, positions=True),
    prefix=dict(type='PrefixTuning', length=2),
    prefix_mlp=dict(type='PrefixTuning', length=2, hidden=5),
    vpt_shallow=dict(type='VPT', length=2, deep=False),
    vpt_deep=dict(type='VPT', length=2),
)

_NO_TEXT = 'takes no embeddings of a text that rows could join'
_NO_CACHE = 'keeps no cache of keys and values, before which a prefix could stand'
_NO_VISION = 'is no vision transformer'
_RELATIVE = 'takes no further rows: its attention adds a relative position bias to each pair of its own tokens'
_DIVIDED = 'takes no further rows: its attention over time shares all rows but the class token out among the frames'
#: What the message of a refusal says.
REFUSED = {
    # Vision transformers read no text.
    ('prompt', 'vit'): _NO_TEXT,
    ('prompt', 'dinov2'): _NO_TEXT,
    ('prompt', 'dinov2_giant'): _NO_TEXT,
    ('prompt', 'beit'): _NO_TEXT,
    ('prompt', 'eva02'): _NO_TEXT,
    ('prompt', 'timesformer'): _NO_TEXT,
    ('prompt_mlp', 'vit'): _NO_TEXT,
    ('prompt_mlp', 'dinov2'): _NO_TEXT,
    ('prompt_mlp', 'dinov2_giant'): _NO_TEXT,
    ('prompt_mlp', 'beit'): _NO_TEXT,
    ('prompt_mlp', 'eva02'): _NO_TEXT,
    ('prompt_mlp', 'timesformer'): _NO_TEXT,
    # Without a cache there is no place before the first token.
    ('prefix', 'clip'): _NO_CACHE,
    ('prefix', 'siglip'): _NO_CACHE,
    ('prefix', 'vit'): _NO_CACHE,
    ('prefix', 'dinov2'): _NO_CACHE,
    ('prefix', 'dinov2_giant'): _NO_CACHE,
    ('prefix', 'beit'): _NO_CACHE,
    ('prefix', 'eva02'): _NO_CACHE,
    ('prefix', 'timesformer'): _NO_CACHE,
    ('prefix_mlp', 'clip'): _NO_CACHE,
    ('prefix_mlp', 'siglip'): _NO_CACHE,
    ('prefix_mlp', 'vit'): _NO_CACHE,
    ('prefix_mlp', 'dinov2'): _NO_CACHE,
    ('prefix_mlp', 'dinov2_giant'): _NO_CACHE,
    ('prefix_mlp', 'beit'): _NO_CACHE,
    ('prefix_mlp', 'eva02'): _NO_CACHE,
    ('prefix_mlp', 'timesformer'): _NO_CACHE,
    # Texts have no patches.
    ('vpt_shallow', 'bart'): _NO_VISION,
    ('vpt_shallow', 't5'): _NO_VISION,
    ('vpt_shallow', 't5_gated'): _NO_VISION,
    ('vpt_shallow', 'opt'): _NO_VISION,
    ('vpt_shallow', 'opt_post_norm'): _NO_VISION,
    ('vpt_shallow', 'gpt2'): _NO_VISION,
    ('vpt_shallow', 'llama'): _NO_VISION,
    ('vpt_shallow', 'blip_text'): _NO_VISION,
    ('vpt_shallow', 'blip_decoder'): _NO_VISION,
    ('vpt_deep', 'bart'): _NO_VISION,
    ('vpt_deep', 't5'): _NO_VISION,
    ('vpt_deep', 't5_gated'): _NO_VISION,
    ('vpt_deep', 'opt'): _NO_VISION,
    ('vpt_deep', 'opt_post_norm'): _NO_VISION,
    ('vpt_deep', 'gpt2'): _NO_VISION,
    ('vpt_deep', 'llama'): _NO_VISION,
    ('vpt_deep', 'blip_text'): _NO_VISION,
    ('vpt_deep', 'blip_decoder'): _NO_VISION,
    # Rows beside the patches have no place in their images and no frame.
    ('vpt_shallow', 'beit'): _RELATIVE,
    ('vpt_deep', 'beit'): _RELATIVE,
    ('vpt_shallow', 'timesformer'): _DIVIDED,
    ('vpt_deep', 'timesformer'): _DIVIDED,
}
