"""The files of HF PEFT for a published LoRA on a model of transformers, so that peft loads the same folder."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from vlpeft.adaptation.errors import AdapterFolderError
from vlpeft.adaptation.peft_folder import CONFIG, WEIGHTS, write_peft_folder
from vlpeft.models.tasks import ImageTextLM
from vlpeft.sites import is_below


def peft_files(model: nn.Module, weights: Mapping[str, Tensor], base: str | None) -> dict[str, bytes]:
    """Names and contents.

    Args:
        model: On the meta device; its method gets the weights.
        weights: Trained parts by the model's keys.
        base: Name of the base on the hub. Defaults to None, unknown.

    Returns:
        Nothing where peft has no form for what was trained.
    """
    if not isinstance(model, ImageTextLM) or model.adapter is None or any(is_below('vlm', key) for key in weights):
        return {}
    own = {key.removeprefix('adapter.'): value.float() for key, value in weights.items() if is_below('adapter', key)}
    model.adapter.load_state_dict(own, strict=False, assign=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            write_peft_folder(folder, model.adapter, model.towers, model.vlm)
        except (AdapterFolderError, NotImplementedError):  # another method; or one that needs weights of the base
            return {}
        settings = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
        settings['base_model_name_or_path'] = base
        return {
            CONFIG: (json.dumps(settings, indent=1) + '\n').encode(),
            WEIGHTS: (folder / WEIGHTS).read_bytes(),
        }
