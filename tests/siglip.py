"""SigLIP, SigLIP 2 and CLIP of transformers, small enough for tests, and retrievers of the same geometry."""

from pathlib import Path

import torch
from torch import nn

from tests.small_methods import shrink_methods
from tests.tiny import DEPTH, HEADS, PATCH, SIZE, WIDTH, retriever_config
from tests.towers import CLIP_TEXT, TEXT_WIDTH

WORDS = 'a the red green blue circle square moves left right up down still small big and'.split()
VOCABULARY = ['<pad>', '<eos>', '<unk>', *WORDS]
LENGTH = 12
SHAPE = dict(hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, intermediate_size=2 * WIDTH)
TEXT = dict(SHAPE, vocab_size=len(VOCABULARY), max_position_embeddings=LENGTH, projection_size=WIDTH)
IMAGES = dict(SHAPE, image_size=SIZE, patch_size=PATCH)
#: Of SigLIP 2 with pictures of any shape: the number of its positions.
NAFLEX = dict(SHAPE, patch_size=PATCH, num_patches=(SIZE // PATCH) ** 2)
#: Vision towers by name: the entries of their configs.
VISION = dict(
    siglip=dict(IMAGES, model_type='siglip_vision_model'),
    siglip2=dict(NAFLEX, model_type='siglip2_vision_model'),
    clip=dict(IMAGES, model_type='clip_vision_model'),
    dinov2=dict(SHAPE, image_size=SIZE, patch_size=PATCH, mlp_ratio=2, model_type='dinov2'),
    registers=dict(SHAPE, image_size=SIZE, patch_size=PATCH, mlp_ratio=2, model_type='dinov2_with_registers'),
    vit=dict(IMAGES, model_type='vit'),
)


def write_siglip_vocabulary(folder: Path) -> str:
    """A directory that ``AutoTokenizer`` loads from: one token for each word, an end token behind them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing('$A <eos>', special_tokens=[('<eos>', 1)])
    named = dict(pad_token='<pad>', eos_token='<eos>', unk_token='<unk>')
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    return str(folder)


def randomised(model: nn.Module, std: float = 0.3, seed: int = 0) -> nn.Module:
    """All parameters N(0, std), in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for param in model.parameters():
            param.copy_(torch.randn(param.shape, generator=generator) * std)
    return model.eval()


def theirs(kind: str, seed: int = 0) -> nn.Module:
    """transformers' own dual encoder, randomised: ``'siglip'``, ``'siglip2'`` or ``'clip'``."""
    import transformers

    if kind == 'clip':
        config = transformers.CLIPConfig(text_config=CLIP_TEXT, vision_config=IMAGES, projection_dim=8)
        return randomised(transformers.CLIPModel(config), seed=seed)
    name = kind.capitalize()
    vision = NAFLEX if kind == 'siglip2' else IMAGES
    config = getattr(transformers, f'{name}Config')(text_config=TEXT, vision_config=vision)
    return randomised(getattr(transformers, f'{name}Model')(config), seed=seed)


def siglip_config(kind: str = 'siglip', vocabulary: str = '', **overrides) -> dict:
    """Config of a tiny retriever with the towers of :func:`theirs`, without matching."""
    if kind == 'clip':
        text = dict(type='ClipTextEncoder', config=CLIP_TEXT)
        head = dict(type='ITCHead', vision_width=WIDTH, text_width=TEXT_WIDTH, embed_width=8, queue_size=12)
        length = 35
    else:
        text = dict(type='SiglipTextEncoder', config=TEXT)
        head, length = dict(type='SigmoidITCHead'), LENGTH
    config = dict(
        vision=dict(type='TransformersVision', config=VISION[kind]),
        text=text,
        vocabulary=vocabulary,
        itc_head=head,
        itm_head=None,
        max_text_length=length,
    )
    return retriever_config(**{**config, **overrides})


def shrink_siglip_model(model: dict, root: Path) -> None:
    """Gives a recipe's model the tiny geometry, and files of it below ``root``; the rest stays."""
    tiny = siglip_config('siglip', write_siglip_vocabulary(root / 'siglip_vocabulary'))
    model.update({name: tiny[name] for name in ('vision', 'text', 'vocabulary', 'max_text_length')})
    theirs('siglip').save_pretrained(root / 'siglip')
    model.base_checkpoint = dict(source=str(root / 'siglip/model.safetensors'))
    shrink_methods(model.get('adapter'))
