"""Recipes at a width at which tensors, not libraries, make up the memory of a step: some hundred MB, in seconds."""

from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).parents[1] / 'configs'
WIDTH, HIDDEN, DEPTH, HEADS = 256, 1024, 4, 4
_VIT = dict(arch=dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=HIDDEN), img_size=112)
_BERT = dict(vocab_size=8000, width=WIDTH, depth=DEPTH, heads=HEADS, hidden=HIDDEN, context_width=WIDTH)
_BART = dict(
    d_model=WIDTH,
    encoder_layers=DEPTH,
    decoder_layers=DEPTH,
    encoder_attention_heads=HEADS,
    decoder_attention_heads=HEADS,
    encoder_ffn_dim=HIDDEN,
    decoder_ffn_dim=HIDDEN,
)
_OPT = dict(
    hidden_size=WIDTH, word_embed_proj_dim=WIDTH, ffn_dim=HIDDEN, num_hidden_layers=12, num_attention_heads=HEADS
)
#: Per recipe what is narrower there.
NARROW = {
    'uniadapter/blip_msrvtt': dict(
        vision=_VIT,
        text=_BERT,
        itc_head=dict(vision_width=WIDTH, text_width=WIDTH, queue_size=8192),
        itm_head=dict(width=WIDTH),
    ),
    'uniadapter/blip_vqav2': dict(vision=_VIT, text=_BERT, decoder=_BERT),
    'vl_pet/vlpet-large_bart-base_vqa': dict(lm=_BART, vocab_size=20000),
    'baselines/bart-base_image_full': dict(lm=_BART, vocab_size=20000),
    'epalm/epalm_opt-2.7b_vit-b_vqav2': dict(
        lm=_OPT, vocab_size=20000, encoder=_VIT, adapter=dict(levels=4, start=6, end=10)
    ),
}


def medium_recipe(name: str) -> Config:
    """A recipe of ``NARROW``, narrower."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    _merge(cfg.model, NARROW[name])
    return cfg


def _merge(into: dict, given: dict) -> None:
    """Entries of entries; a name of a geometry gives way to its sizes, which MMEngine's own merging refuses."""
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
