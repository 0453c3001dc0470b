"""What goes with the weights of a model: the files of its processor and tokenizer, and a small input by them."""

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from vlpeft.models.hub import TOKENIZER_FILES, source_options

#: Names of files of processors and tokenizers, as patterns.
PATTERNS = (
    'tokenizer*',
    'vocab*',
    'merges.txt',
    '*.model',
    'special_tokens_map.json',
    'added_tokens.json',
    'chat_template*',
    '*processor_config.json',
)


def copy_processor(name: str, folder: Path) -> None:
    """Copies the files of a processor and its tokenizer.

    Args:
        name: Folder or hub name.
        folder: Where they go.

    Raises:
        ValueError: There is no such folder or hub name.
    """
    options = source_options(name, 'processor', ('preprocessor_config.json', *TOKENIZER_FILES))
    source = Path(name).expanduser()
    if not source.is_dir():
        from huggingface_hub import snapshot_download

        source = Path(snapshot_download(name, allow_patterns=list(PATTERNS), **options))
    for path in sorted({path for pattern in PATTERNS for path in source.glob(pattern) if path.is_file()}):
        shutil.copyfile(path, folder / path.name)


def small_input(model: nn.Module, folder: Path | None) -> tuple[dict[str, Tensor], str]:
    """A picture and a question as the processor in a folder makes them, or a few tokens where there is none that does;
    and which of both.
    """
    row = None if folder is None else _question(folder)
    what = 'a picture and a question' if row else 'a text'
    row = row or dict(input_ids=torch.arange(5)[None] % model.config.get_text_config().vocab_size)
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None) for name, value in row.items()
    }, what


def _question(folder: Path) -> dict[str, Tensor] | None:
    from PIL import Image
    from transformers import AutoProcessor

    from vlpeft.chat.conversation import ChatError
    from vlpeft.chat.encode import encode
    from vlpeft.chat.render import render_template

    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        if not hasattr(processor, 'image_processor'):
            return None
        turn = dict(role='user', content=[dict(type='image'), dict(type='text', text='what is it?')])
        return encode(processor, render_template(processor, [turn]), [Image.linear_gradient('L').convert('RGB')])
    except (ChatError, OSError, ValueError):
        return None
