"""What each model must say after its conversion: numbers and texts that were measured once.

The ViT's are of ONNX Runtime on the graph that its weights come from. Of the language models and MiniLM no other
program runs the same numbers: products in 8 bits round the activations, too. (With those rounded in the same way, the
encoder of T5 follows ONNX Runtime with a correlation of 0.997.) Theirs, and the random ViT's, show that a later version
of a library reads the same weights.
"""

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

VIT_CLASS_TOKEN = (1.05675399, -0.26190338, 1.05684221, -4.08789110, -0.70435071, -0.25772029)
RANDOM_CLASS_TOKEN = (-2.14138055, 0.04535352, 0.02434797, -0.83739442, -0.50188142, -0.30831832)
SENTENCES = ('a red kangaroo', 'an animal of Australia', 'a blue car')
COSINES = (0.6374, 0.2349, 0.1737)
TITLED = 'User: how do I fix a segfault in my C program?\nAssistant: use gdb'
TITLE = 'Fix gdb dependency segfault'
PROMPT, CONTINUED = 'The capital of France is', ' Paris.\n\nThe capital of the United States is New'


def check_outputs(name: str, folder: Path) -> Any:
    """Runs a converted model.

    Returns:
        What it said, as plain values.

    Raises:
        ValueError: It said something else than it must.
    """
    with torch.no_grad():
        found, known, same = CHECKS[name](folder)
    if not same:
        raise ValueError(f'{name}: the converted model says {found}, expected {known}')
    return found


def near(found: torch.Tensor, known: tuple[float, ...], tolerance: float) -> tuple[list, tuple, bool]:
    """Numbers as a check returns them."""
    same = bool(torch.allclose(found, torch.tensor(known), rtol=0, atol=tolerance))
    return [round(value, 6) for value in found.tolist()], known, same


def _vit(folder: Path, known: tuple[float, ...] = VIT_CLASS_TOKEN) -> tuple[list, tuple, bool]:
    from transformers import Dinov2Model

    image = torch.sin(torch.arange(3 * 224 * 224, dtype=torch.float32).view(1, 3, 224, 224) * 0.01)
    tokens = Dinov2Model.from_pretrained(folder, local_files_only=True).eval()(image).last_hidden_state
    return near(tokens[0, 0, :6], known, 1e-4)


def _random_vit(folder: Path) -> tuple[list, tuple, bool]:
    return _vit(folder, RANDOM_CLASS_TOKEN)


def _minilm(folder: Path) -> tuple[list, tuple, bool]:
    from transformers import AutoTokenizer, BertModel

    batch = AutoTokenizer.from_pretrained(folder, local_files_only=True)(
        list(SENTENCES), padding=True, return_tensors='pt'
    )
    states = BertModel.from_pretrained(folder, local_files_only=True).eval()(**batch).last_hidden_state
    mask = batch['attention_mask'][..., None]
    mean = F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    return near((mean @ mean.T)[[0, 0, 1], [1, 2, 2]], COSINES, 1e-3)


def _t5(folder: Path) -> tuple[str, str, bool]:
    from transformers import T5ForConditionalGeneration

    model = T5ForConditionalGeneration.from_pretrained(folder, local_files_only=True)
    title = _write(model.eval(), folder, TITLED)[0]
    return title, TITLE, title == TITLE


def _smollm2(folder: Path) -> tuple[str, str, bool]:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    text = _write(model.eval(), folder, PROMPT)[0].removeprefix(PROMPT)
    return text, CONTINUED, text == CONTINUED


def _write(model: torch.nn.Module, folder: Path, text: str) -> list[str]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = model.generate(**tokenizer(text, return_tensors='pt'), max_new_tokens=12, do_sample=False, num_beams=1)
    return tokenizer.batch_decode(ids, skip_special_tokens=True)


CHECKS = {'vit-s': _vit, 'random-vit-s': _random_vit, 'minilm': _minilm, 'flan-t5-small': _t5, 'smollm2-135m': _smollm2}
