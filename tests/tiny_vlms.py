"""A zoo of transformers' image-text-to-text models at tiny geometry, with processors made without a network.

Each row of `FAMILIES` is one family: what `AutoConfig` makes its model of, the parts of its processor and how it
renders a conversation. The tokenizers are trained in place on a few words; ids 0 to 3 are padding, beginning, end and
unknown, and the special tokens of the family follow in the order the row gives them.
"""

import copy
import functools
import tempfile
from dataclasses import dataclass, field

import torch

PAD, BOS, EOS, UNK = 0, 1, 2, 3
FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH = range(4, 10)
VOCABULARY, WIDTH, SIDE, PATCH = 300, 32, 16, 4

WORDS = 'user assistant what colour is the image ? red green blue yellow a picture of describe it yes no you are'

# ---------------------------------------------------------------------------------------------- language models
ENDS = dict(pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS)
LM = dict(
    vocab_size=VOCABULARY,
    hidden_size=WIDTH,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=512,
    **ENDS,
)
LLAMA = dict(model_type='llama', **LM)
QWEN2 = dict(model_type='qwen2', **LM)
MISTRAL = dict(model_type='mistral', head_dim=8, sliding_window=None, **LM)
GEMMA = dict(model_type='gemma', head_dim=8, **LM)
GEMMA2 = dict(model_type='gemma2', head_dim=8, query_pre_attn_scalar=8, sliding_window=8, **LM)
GEMMA3 = dict(model_type='gemma3_text', head_dim=8, query_pre_attn_scalar=8, sliding_window=8, **LM) | dict(
    layer_types=['sliding_attention', 'full_attention']
)
COHERE2 = dict(model_type='cohere2', sliding_window=8, **LM) | dict(layer_types=['sliding_attention', 'full_attention'])
OPT = dict(
    model_type='opt',
    vocab_size=VOCABULARY,
    hidden_size=WIDTH,
    word_embed_proj_dim=WIDTH,
    ffn_dim=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=512,
    dropout=0.0,
    **ENDS,
)
T5 = dict(
    model_type='t5',
    vocab_size=VOCABULARY,
    d_model=WIDTH,
    d_kv=8,
    d_ff=48,
    num_layers=2,
    num_heads=4,
    dropout_rate=0.0,
    pad_token_id=PAD,
    eos_token_id=EOS,
    decoder_start_token_id=PAD,
)
BART = dict(
    model_type='bart',
    vocab_size=VOCABULARY,
    d_model=WIDTH,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=48,
    decoder_ffn_dim=48,
    max_position_embeddings=512,
    dropout=0.0,
    decoder_start_token_id=EOS,
    forced_eos_token_id=None,
    forced_bos_token_id=None,
    **ENDS,
)


def mrope(**more) -> dict:
    """Rotary positions of time, height and width over the 4 frequencies of heads of width 8."""
    return dict(rope_scaling=dict(rope_type='default', mrope_section=[2, 1, 1], **more))


# ---------------------------------------------------------------------------------------------- vision towers
def vision(model_type: str | None = None, blocks: int = 2, patch: int = PATCH, **more) -> dict:
    """A vision tower of width 24 over images of 16 x 16."""
    sizes = dict(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=patch,
    )
    return (dict(model_type=model_type) if model_type else {}) | sizes | more


def packed_vision(**more) -> dict:
    """A vision tower over packed patches, as Qwen-VL and GLM-V have it."""
    sizes = dict(
        depth=2, num_heads=3, patch_size=PATCH, temporal_patch_size=2, spatial_merge_size=2, in_channels=3, in_chans=3
    )
    return sizes | more


# ---------------------------------------------------------------------------------------------- rendering
@dataclass(frozen=True)
class Style:
    """How a conversation becomes text: what opens and closes a turn of each role, and what stands for an image.

    `end` is the special token that ends an answer where it is not the end of a text.
    """

    image: str = '<image>'
    video: str = '<video>'
    start: str = ''
    system: tuple[str, str] = ('', '\n')
    user: tuple[str, str] = ('', '')
    assistant: tuple[str, str] = ('', '')
    end: str | None = None
    default_system: str | None = None

    def template(self) -> str:
        """The chat template in Jinja."""
        parts = (
            "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
            "{% for part in message['content'] %}"
            "{% if part['type'] == 'image' %}{{ IMAGE }}{% elif part['type'] == 'video' %}{{ VIDEO }}"
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
        )
        parts = parts.replace('IMAGE', _quoted(self.image)).replace('VIDEO', _quoted(self.video))
        lines = [f'{{{{ {_quoted(self.start)} }}}}']
        if self.default_system:
            opened, closed = self.system
            text = _quoted(opened + self.default_system + closed)
            lines.append(f"{{% if messages[0]['role'] != 'system' %}}{{{{ {text} }}}}{{% endif %}}")
        lines.append('{% for message in messages %}')
        for role in ('system', 'user', 'assistant'):
            opened, closed = (_quoted(text) for text in getattr(self, role))
            lines.append(
                f"{{% if message['role'] == '{role}' %}}{{{{ {opened} }}}}{parts}{{{{ {closed} }}}}{{% endif %}}"
            )
        lines.append('{% endfor %}')
        lines.append(f'{{% if add_generation_prompt %}}{{{{ {_quoted(self.assistant[0])} }}}}{{% endif %}}')
        return ''.join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace('\\', '\\\\').replace("'", "\\'").replace('\n', '\\n') + "'"


def chatml(image: str, video: str = '<video>', default_system: str | None = None) -> Style:
    """Turns between `<|im_start|>` and `<|im_end|>`, as Qwen has them."""
    turns = {role: (f'<|im_start|>{role}\n', '<|im_end|>\n') for role in ('system', 'user', 'assistant')}
    return Style(image=image, video=video, end='<|im_end|>', default_system=default_system, **turns)


VICUNA = Style(image='<image>\n', user=('USER: ', ' '), assistant=('ASSISTANT:', ' '))
QWEN = dict(image='<|vision_start|><|image_pad|><|vision_end|>', video='<|vision_start|><|video_pad|><|vision_end|>')
IDEFICS = Style(
    start='<|im_start|>',
    system=('System: ', '<end_of_utterance>\n'),
    user=('User:', '<end_of_utterance>\n'),
    assistant=('Assistant:', '<end_of_utterance>\n'),
    end='<end_of_utterance>',
)
GEMMA_TURNS = Style(
    image='<start_of_image>',
    start='<bos>',
    system=('<start_of_turn>user\n', '\n\n'),
    user=('<start_of_turn>user\n', '<end_of_turn>\n'),
    assistant=('<start_of_turn>model\n', '<end_of_turn>\n'),
    end='<end_of_turn>',
)
INST = Style(image='[IMG]', start='<s>', user=('[INST]', '[/INST]'), assistant=('', '</s>'))
GLM = Style(
    image='<|begin_of_image|><|image|><|end_of_image|>',
    video='<|begin_of_video|><|video|><|end_of_video|>',
    system=('<|system|>\n', ''),
    user=('<|user|>\n', ''),
    assistant=('<|assistant|>\n', ''),
)
COHERE = Style(
    system=('<|START|><|SYSTEM|>', '<|END|>'),
    user=('<|START|><|USER|>', '<|END|>'),
    assistant=('<|START|><|BOT|>', '<|END|>'),
    end='<|END|>',
)


# ---------------------------------------------------------------------------------------------- the table
@dataclass(frozen=True)
class Family:
    """What makes a tiny model of one family and its processor.

    `style` is how conversations are rendered; without one, `prompt` is the text of a question. `images` bounds the
    number of images that one sample can have. `options` are those of the processor, `call` those of its call, which
    overwrite what it would otherwise choose.
    """

    geometry: dict
    processor: str
    image_processor: str
    image_options: dict
    specials: tuple[str, ...]
    options: dict = field(default_factory=dict)
    call: dict = field(default_factory=dict)
    video_processor: str | None = None
    video_options: dict = field(default_factory=dict)
    style: Style | None = None
    prompt: str = '{question}'
    images: tuple[int, int] = (0, 9)
    tokenizer: str = 'PreTrainedTokenizerFast'
    named_tokens: dict = field(default_factory=dict)

    @property
    def encoder_decoder(self) -> bool:
        """Whether the language model has an encoder and a decoder."""
        return self.geometry['text_config'].get('model_type') in ('t5', 'bart')

    @property
    def end(self) -> int:
        """The id of the token that ends an answer."""
        return FIRST + self.specials.index(self.style.end) if self.style and self.style.end else EOS


SQUARE = dict(height=SIDE, width=SIDE)
CROPPED = dict(size=dict(shortest_edge=SIDE), crop_size=SQUARE)
PACKED = dict(
    size=dict(shortest_edge=8 * 8, longest_edge=32 * 32), patch_size=PATCH, merge_size=2, temporal_patch_size=2
)
QWEN_PACKED = PACKED | dict(min_pixels=8 * 8, max_pixels=32 * 32)
PACKED_VIDEO = PACKED | dict(size=dict(shortest_edge=8 * 8 * 2, longest_edge=16 * 16 * 8), do_sample_frames=False)
UNSPLIT = dict(size=dict(longest_edge=SIDE), max_image_size=dict(longest_edge=SIDE), do_image_splitting=False)
QWEN_TOKENS = ('<|image_pad|>', '<|video_pad|>', '<|vision_start|>', '<|vision_end|>', '<|im_start|>', '<|im_end|>')
QWEN_IDS = dict(image_token_id=FIRST, video_token_id=SECOND, vision_start_token_id=THIRD, vision_end_token_id=FOURTH)
IDEFICS_TOKENS = ('<image>', '<fake_token_around_image>', '<end_of_utterance>', '<global-img>', '<|im_start|>')
GEMMA_TOKENS = ('<image>', '<mask>')
PINPOINTS = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE]]


def llava(tower: dict, strategy: str, more: dict, **family) -> Family:
    """LLaVA with one of its vision towers: features of the last block but one, with or without the class token."""
    config = dict(
        model_type='llava',
        text_config=LLAMA,
        vision_config=tower,
        image_token_index=FIRST,
        vision_feature_layer=-2,
        vision_feature_select_strategy=strategy,
        image_seq_length=4,
        pad_token_id=PAD,
    )
    parts = dict(processor='LlavaProcessor', image_processor='CLIPImageProcessor', image_options=CROPPED, style=VICUNA)
    options = dict(patch_size=tower['patch_size'], vision_feature_select_strategy=strategy, **more)
    return Family(**(dict(geometry=config, specials=('<image>',), options=options) | parts | family))


def qwen_vl(model_type: str, text: dict, vision_config: dict, processor: str, video: str, **style) -> Family:
    """A Qwen-VL: packed vision with merged patches, positions of time, height and width in the language model."""
    return Family(
        geometry=dict(model_type=model_type, text_config=text, vision_config=vision_config, **QWEN_IDS),
        processor=processor,
        image_processor='Qwen2VLImageProcessor',
        image_options=QWEN_PACKED,
        video_processor=video,
        video_options=PACKED_VIDEO,
        tokenizer='Qwen2TokenizerFast',
        specials=QWEN_TOKENS,
        style=chatml(**QWEN, **style),
    )


def idefics(model_type: str, processor: str, image_processor: str, **more) -> Family:
    """Idefics3 or SmolVLM: 4 x 4 patches shuffled to 4 image tokens."""
    config = dict(
        model_type=model_type,
        text_config=LLAMA,
        vision_config=vision(),
        image_token_id=FIRST,
        scale_factor=2,
        pad_token_id=PAD,
        tie_word_embeddings=False,
    )
    return Family(
        geometry=config,
        processor=processor,
        image_processor=image_processor,
        image_options=UNSPLIT,
        options=dict(image_seq_len=4),
        specials=IDEFICS_TOKENS + more.pop('specials', ()),
        style=IDEFICS,
        **more,
    )


def paligemma(text: dict) -> Family:
    """PaliGemma: a plain prompt after the image tokens, which sees itself in both directions."""
    config = dict(
        model_type='paligemma',
        text_config=text | dict(vocab_size=VOCABULARY + 1024 + 128),  # the processor adds its places and segments
        vision_config=vision('siglip_vision_model', vision_use_head=False),
        image_token_index=FIRST,
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        **ENDS,
    )
    return Family(
        geometry=config,
        processor='PaliGemmaProcessor',
        image_processor='SiglipImageProcessor',
        image_options=dict(size=SQUARE, image_seq_length=16),
        tokenizer='GemmaTokenizerFast',
        specials=GEMMA_TOKENS,
        named_tokens=dict(image_token='<image>'),
        prompt='{images}{question}',
        images=(1, 9),
    )


def blip2(text: dict, **more) -> Family:
    """BLIP-2: a Q-Former's 4 queries before a plain prompt."""
    former = dict(
        vocab_size=VOCABULARY,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        encoder_hidden_size=24,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config = dict(
        model_type='blip-2',
        text_config=text,
        vision_config=vision(),
        qformer_config=former,
        num_query_tokens=4,
        image_token_index=FIRST,
    )
    return Family(
        geometry=config,
        processor='Blip2Processor',
        image_processor='BlipImageProcessor',
        image_options=dict(size=SQUARE),
        options=dict(num_query_tokens=4),
        specials=('<image>',),
        named_tokens=dict(image_token=None),
        prompt='Question: {question} Answer:',
        images=(1, 1),
    )


LLAVA_NEXT = dict(model_type='llava_next', image_grid_pinpoints=PINPOINTS)
DAVIT = dict(
    model_type='florence_vision',
    depths=[1, 1],
    patch_size=[7, 3],
    patch_stride=[4, 2],
    patch_padding=[3, 1],
    patch_prenorm=[False, True],
    embed_dim=[8, 16],
    num_heads=[2, 2],
    num_groups=[2, 2],
    window_size=2,
    drop_path_rate=0.0,
    projection_dim=WIDTH,
)

FAMILIES = {
    'llava': llava(
        vision('clip_vision_model', 3, 8, projection_dim=16), 'default', dict(num_additional_image_tokens=1)
    ),
    'llava_siglip': llava(
        vision('siglip_vision_model', 3, 8, vision_use_head=False),
        'full',
        {},
        image_processor='SiglipImageProcessor',
        image_options=dict(size=SQUARE),
    ),
    'llava_dinov2': llava(vision('dinov2', 3, 8, mlp_ratio=2), 'default', dict(num_additional_image_tokens=1)),
    'llava_next': Family(
        geometry=llava(vision('clip_vision_model', 3, 8, projection_dim=16), 'default', {}).geometry
        | LLAVA_NEXT
        | dict(text_config=MISTRAL),
        processor='LlavaNextProcessor',
        image_processor='LlavaNextImageProcessor',
        image_options=dict(image_grid_pinpoints=PINPOINTS, **CROPPED),
        options=dict(patch_size=8, vision_feature_select_strategy='default', num_additional_image_tokens=1),
        specials=('<image>',),
        style=Style(image='<image>\n', user=('[INST] ', ' [/INST]'), assistant=(' ', '</s>')),
    ),
    'llava_onevision': Family(
        geometry=dict(
            model_type='llava_onevision',
            text_config=QWEN2,
            vision_config=vision('siglip_vision_model', 2, 8, vision_use_head=False),
            image_token_index=FIRST,
            video_token_index=SECOND,
            vision_feature_layer=-1,
            vision_feature_select_strategy='full',
            vision_aspect_ratio='anyres_max_9',
            image_grid_pinpoints=PINPOINTS,
        ),
        processor='LlavaOnevisionProcessor',
        image_processor='LlavaOnevisionImageProcessor',
        image_options=dict(size=SQUARE, image_grid_pinpoints=PINPOINTS),
        video_processor='LlavaOnevisionVideoProcessor',
        video_options=dict(size=SQUARE),
        options=dict(num_image_tokens=4, vision_feature_select_strategy='full', vision_aspect_ratio='anyres_max_9'),
        specials=('<image>', '<video>', '<|im_start|>', '<|im_end|>'),
        style=chatml('<image>\n', '<video>\n'),
    ),
    'qwen2_vl': qwen_vl(
        'qwen2_vl',
        LM | mrope(),
        packed_vision(embed_dim=24, hidden_size=WIDTH, mlp_ratio=2),
        'Qwen2VLProcessor',
        'Qwen2VLVideoProcessor',
        default_system='You are a model.',
    ),
    'qwen2_5_vl': qwen_vl(
        'qwen2_5_vl',
        LM | mrope(),
        packed_vision(
            hidden_size=24, intermediate_size=40, out_hidden_size=WIDTH, window_size=16, fullatt_block_indexes=[1]
        ),
        'Qwen2_5_VLProcessor',
        'Qwen2VLVideoProcessor',
        default_system='You are a model.',
    ),
    'qwen3_vl': qwen_vl(
        'qwen3_vl',
        LM | dict(head_dim=8) | mrope(mrope_interleaved=True),
        packed_vision(
            hidden_size=24,
            intermediate_size=40,
            out_hidden_size=WIDTH,
            num_position_embeddings=16,
            deepstack_visual_indexes=[0],
        ),
        'Qwen3VLProcessor',
        'Qwen3VLVideoProcessor',
    ),
    'idefics3': idefics('idefics3', 'Idefics3Processor', 'Idefics3ImageProcessor'),
    'smolvlm': idefics(
        'smolvlm',
        'SmolVLMProcessor',
        'SmolVLMImageProcessor',
        video_processor='SmolVLMVideoProcessor',
        video_options=dict(size=dict(longest_edge=SIDE), max_image_size=dict(longest_edge=SIDE)),
        specials=('<video>',),
    ),
    'paligemma': paligemma(GEMMA),
    'paligemma2': paligemma(GEMMA2),
    'gemma3': Family(
        geometry=dict(
            model_type='gemma3',
            text_config=GEMMA3,
            vision_config=vision('siglip_vision_model'),
            mm_tokens_per_image=4,
            image_token_index=FIRST,
            boi_token_index=THIRD,
            eoi_token_index=FOURTH,
            **ENDS,
        ),
        processor='Gemma3Processor',
        image_processor='Gemma3ImageProcessor',
        image_options=dict(size=SQUARE),
        options=dict(image_seq_length=4),
        tokenizer='GemmaTokenizerFast',
        specials=(*GEMMA_TOKENS, '<start_of_image>', '<end_of_image>', '<start_of_turn>', '<end_of_turn>'),
        named_tokens=dict(image_token='<image>', boi_token='<start_of_image>', eoi_token='<end_of_image>'),
        style=GEMMA_TURNS,
    ),
    'internvl': Family(
        geometry=dict(
            model_type='internvl',
            text_config=QWEN2,
            vision_config=vision('internvl_vision') | dict(image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
            image_token_id=FIRST,
            image_seq_length=4,
            downsample_ratio=0.5,
        ),
        processor='InternVLProcessor',
        image_processor='GotOcr2ImageProcessor',
        image_options=dict(size=SQUARE),
        call=dict(crop_to_patches=False),
        video_processor='InternVLVideoProcessor',
        video_options=dict(size=SQUARE),
        options=dict(image_seq_length=4),
        specials=('<IMG_CONTEXT>', '<video>', '<img>', '</img>', '<|im_start|>', '<|im_end|>'),
        named_tokens=dict(
            start_image_token='<img>',
            end_image_token='</img>',
            context_image_token='<IMG_CONTEXT>',
            video_token='<video>',
        ),
        style=chatml('<IMG_CONTEXT>\n', '<video>\n'),
    ),
    'mistral3': Family(
        geometry=dict(
            model_type='mistral3',
            text_config=MISTRAL,
            vision_config=vision('pixtral', head_dim=6, hidden_act='gelu'),
            image_token_index=FIRST,
            spatial_merge_size=2,
        ),
        processor='PixtralProcessor',
        image_processor='PixtralImageProcessor',
        image_options=dict(size=dict(longest_edge=SIDE), patch_size=dict(height=PATCH, width=PATCH)),
        options=dict(patch_size=PATCH, spatial_merge_size=2),
        specials=('[IMG]', '[IMG_BREAK]', '[IMG_END]', '[INST]', '[/INST]'),
        style=INST,
    ),
    'glm4v': Family(
        geometry=dict(
            model_type='glm4v',
            text_config=LM | mrope() | dict(image_token_id=FIRST, video_token_id=SECOND),
            vision_config=packed_vision(hidden_size=24, intermediate_size=40, out_hidden_size=WIDTH, image_size=SIDE),
            image_token_id=FIRST,
            video_token_id=SECOND,
            image_start_token_id=THIRD,
            image_end_token_id=FOURTH,
            video_start_token_id=FIFTH,
            video_end_token_id=SIXTH,
        ),
        processor='Glm4vProcessor',
        image_processor='Glm4vImageProcessor',
        image_options=PACKED,
        video_processor='Glm4vVideoProcessor',
        video_options=PACKED_VIDEO,
        specials=(
            '<|image|>',
            '<|video|>',
            '<|begin_of_image|>',
            '<|end_of_image|>',
            '<|begin_of_video|>',
            '<|end_of_video|>',
            '<|system|>',
            '<|user|>',
            '<|assistant|>',
        ),
        named_tokens=dict(image_token='<|image|>', video_token='<|video|>'),
        style=GLM,
    ),
    'ovis2': Family(
        geometry=dict(
            model_type='ovis2',
            text_config=QWEN2,
            vision_config=vision(vocab_size=24, hidden_stride=2, num_visual_indicator_tokens=5),
            image_token_id=FIRST,
            visual_indicator_token_ids=[5, 6, 7, 8, 9],
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
        ),
        processor='Ovis2Processor',
        image_processor='Ovis2ImageProcessor',
        image_options=dict(size=SQUARE, crop_to_patches=False),
        options=dict(image_seq_length=4),
        specials=(
            '<IMG_ATOM>',
            '<IMG_START>',
            '<IMG_GRID>',
            '<IMG_COL>',
            '<IMG_ROW>',
            '<IMG_END>',
            '<image>',
            '<|im_start|>',
            '<|im_end|>',
        ),
        style=chatml('<image>\n'),
    ),
    'aya_vision': Family(
        geometry=dict(
            model_type='aya_vision',
            text_config=COHERE2,
            vision_config=vision('siglip_vision_model', vision_use_head=False),
            image_token_index=FIRST,
            downsample_factor=2,
            vision_feature_layer=-1,
            vision_feature_select_strategy='full',
            adapter_layer_norm_eps=1e-6,
        ),
        processor='AyaVisionProcessor',
        image_processor='GotOcr2ImageProcessor',
        image_options=dict(size=SQUARE),
        call=dict(crop_to_patches=False),
        options=dict(patch_size=PATCH, img_size=SIDE, downsample_factor=2),
        specials=(
            '<|IMG_PATCH|>',
            '<|START_OF_IMG|>',
            '<|END_OF_IMG|>',
            'TILE_GLOBAL',
            'TILE',
            '<image>',
            '<|START|>',
            '<|END|>',
            '<|SYSTEM|>',
            '<|USER|>',
            '<|BOT|>',
        ),
        style=COHERE,
    ),
    'blip2_opt': blip2(OPT),
    'blip2_t5': blip2(T5),
    'florence2': Family(
        geometry=dict(
            model_type='florence2', text_config=BART, vision_config=DAVIT, image_token_id=FIRST, is_encoder_decoder=True
        ),
        processor='Florence2Processor',
        image_processor='CLIPImageProcessor',
        image_options=dict(image_seq_length=5, **CROPPED),
        tokenizer='BartTokenizerFast',
        specials=('<image>', '<mask>'),
        images=(0, 1),
        named_tokens=dict(image_token='<image>'),
    ),
}


# ---------------------------------------------------------------------------------------------- models
def config(name: str) -> dict:
    """The geometry of a family with its `model_type`, as `AutoConfig.for_model` takes it: a copy to change at will."""
    family = FAMILIES[name]
    geometry = copy.deepcopy(family.geometry)
    geometry['text_config']['eos_token_id'] = family.end
    return geometry


def build(name: str, seed: int = 0, attn_implementation: str | None = None) -> torch.nn.Module:
    """A tiny random model of a family: float32, in eval mode, the same for the same seed.

    Weights of matrices are drawn with standard deviation 0.2 and all others moved by 0.1, so that no part is near zero.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    geometry = config(name)
    geometry = AutoConfig.for_model(geometry.pop('model_type'), **geometry)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = (
            AutoModelForImageTextToText.from_config(geometry, attn_implementation=attn_implementation).float().eval()
        )
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.2)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


# ---------------------------------------------------------------------------------------------- processors
@functools.cache
def loaded_processor(name: str):
    """The processor of a family as people get it, loaded from a folder; a process makes it once."""
    from transformers import AutoProcessor

    with tempfile.TemporaryDirectory() as folder:
        return AutoProcessor.from_pretrained(processor(name, folder))


def processor(name: str, folder) -> str:
    """Saves the processor of a family to a folder, from which `AutoProcessor.from_pretrained` loads it."""
    import transformers

    family = FAMILIES[name]
    parts = [getattr(transformers, family.image_processor)(**copy.deepcopy(family.image_options)), _tokenizer(family)]
    if family.video_processor:
        parts.append(getattr(transformers, family.video_processor)(**copy.deepcopy(family.video_options)))
    options = dict(family.options)
    if family.style:
        options['chat_template'] = family.style.template()
    getattr(transformers, family.processor)(*parts, **options).save_pretrained(folder)
    return str(folder)


def _tokenizer(family: Family):
    """A tokenizer of 300 tokens: bytes and their pairs, or for Gemma's class characters with a mark for the space."""
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    gemma = family.tokenizer == 'GemmaTokenizerFast'
    ends = ['<pad>', '<bos>', '<eos>', '<unk>'] if gemma else ['<pad>', '<s>', '</s>', '<unk>']
    tokenizer = Tokenizer(models.BPE(unk_token='<unk>' if gemma else None))
    if gemma:
        tokenizer.normalizer = normalizers.Replace(' ', '▁')
        tokenizer.pre_tokenizer = pre_tokenizers.Split(' ', 'merged_with_previous')
        tokenizer.decoder = decoders.Sequence([decoders.Replace('▁', ' '), decoders.Fuse()])
        alphabet = ['▁', '\n', *map(chr, range(33, 127))]
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = [AddedToken(token, normalized=False, special=True) for token in [*ends, *family.specials]]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=specials, initial_alphabet=sorted(alphabet), show_progress=False
    )
    words = WORDS.split()
    tokenizer.train_from_iterator([f' {first} {second}' for first in words for second in words], trainer)
    named = {key: token for key, token in family.named_tokens.items() if token}
    return getattr(transformers, family.tokenizer)(
        tokenizer_object=tokenizer,
        pad_token=ends[PAD],
        bos_token=ends[BOS],
        eos_token=ends[EOS] if gemma or family.end == EOS else family.style.end,
        unk_token=ends[UNK],
        extra_special_tokens=named,
        model_input_names=['input_ids', 'attention_mask'],
    )


# ---------------------------------------------------------------------------------------------- inputs
def picture(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)):
    """A random RGB image of PIL, (width, height)."""
    from PIL import Image

    width, height = size
    pixels = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def conversation(question: str, images: int = 1, answer: str | None = None, system: str | None = None) -> list[dict]:
    """Messages with content in parts, images first, as chat templates take them."""
    turns = [dict(role='system', content=[dict(type='text', text=system)])] if system else []
    content = [dict(type='image')] * images + [dict(type='text', text=question)]
    turns.append(dict(role='user', content=content))
    if answer is not None:
        turns.append(dict(role='assistant', content=[dict(type='text', text=answer)]))
    return turns


def prompt(name: str, question: str, images: int = 1) -> str:
    """The text up to where the model speaks."""
    family = FAMILIES[name]
    if family.style:
        return loaded_processor(name).apply_chat_template(conversation(question, images), add_generation_prompt=True)
    return family.prompt.format(question=question, images='<image>' * images)


def batch(
    name: str,
    questions: tuple[str, ...] = ('what colour is it ?', 'describe the image'),
    answers: tuple[str, ...] | None = ('red', 'a blue picture'),
    images: list[list] | None = None,
    side: str = 'right',
) -> dict[str, torch.Tensor]:
    """Inputs of one forward pass, with labels on the answers; without answers, prompts to generate from.

    Args:
        name: The family.
        questions: One for each sample.
        answers: One for each sample, each followed by the token that ends an answer.
        images: The images of each sample; by default one each, of two sizes in turn.
        side: Where texts are padded, right or left.
    """
    if images is None:
        images = [[picture(seed, (SIDE + 8 * (seed % 2), SIDE))] for seed, _ in enumerate(questions)]
    rows = [_prompt_row(name, question, pictures) for question, pictures in zip(questions, images)]
    if answers is not None:
        rows = [_answered(name, row, answer) for row, answer in zip(rows, answers)]
    return _joined(rows, side)


def _prompt_row(name: str, question: str, pictures: list) -> dict[str, torch.Tensor]:
    maker = loaded_processor(name)
    text = prompt(name, question, len(pictures))
    options = dict(FAMILIES[name].call)
    if text.startswith(str(maker.tokenizer.bos_token)):
        options['add_special_tokens'] = False
    row = maker(images=pictures or None, text=[text], return_tensors='pt', **options)
    row = {key: torch.as_tensor(values) for key, values in row.items() if key != 'labels'}
    if name.startswith('paligemma'):
        row['token_type_ids'] = torch.zeros_like(row['input_ids'])
    return row


def _answered(name: str, row: dict, answer: str) -> dict[str, torch.Tensor]:
    """A row with an answer after its prompt, or in the labels of an encoder-decoder."""
    family = FAMILIES[name]
    ids = loaded_processor(name).tokenizer(answer, add_special_tokens=False, return_tensors='pt')['input_ids']
    ids = torch.cat([ids, torch.tensor([[family.end]])], 1)
    if family.encoder_decoder:
        return row | dict(labels=ids)
    more = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
    for key in ('token_type_ids', 'mm_token_type_ids'):
        more[key] = torch.full_like(ids, int(name.startswith('paligemma')))
    longer = {key: torch.cat([values, more[key]], 1) if key in more else values for key, values in row.items()}
    return longer | dict(labels=torch.cat([torch.full_like(row['input_ids'], -100), ids], 1))


def _joined(rows: list[dict], side: str) -> dict[str, torch.Tensor]:
    """Rows as one batch: texts padded at one side, everything else at the ends and joined along the first dimension."""
    texts = dict(input_ids=PAD, attention_mask=0, labels=-100, token_type_ids=0, mm_token_type_ids=0)
    joined = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        parts = [row[key] for row in rows if key in row]
        if key in ('pixel_values', 'pixel_attention_mask') and any('pixel_attention_mask' in row for row in rows):
            parts = [row.get(key, torch.zeros_like(parts[0])) for row in rows]
        longest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts))]
        padded = []
        for part in parts:
            gaps = [(0, size - have) for size, have in zip(longest, part.shape[1:])]
            if key in texts and side == 'left':
                gaps = [gap[::-1] for gap in gaps]
            flat = [size for gap in reversed(gaps) for size in gap]
            padded.append(torch.nn.functional.pad(part, flat, value=texts.get(key, 0)))
        joined[key] = torch.cat(padded)
    return joined
