"""Folders in which what docs/own_data says is done as it stands: data of each task, and its recipes at tiny geometry.

A recipe lies below ``configs`` of the folder, where the pages name it, and is found there before that of the checkout.
"""

import json
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from tests import tiny_epalm, tiny_vlms
from tests.media import write_video
from tests.siglip import shrink_siglip_model
from tests.tiny import shrink_blip_model, write_blip_bases
from tests.vl_workspace import shrink_vl_model, write_vl_bases
from tests.workspace import ROOT
from vlpeft.engine.run_config import RunConfig

COLOURS = dict(red=(220, 30, 30), green=(30, 200, 40), blue=(30, 40, 220))
#: Samples to train with and to test with.
COUNTS = dict(train=24, test=6)
VLM = 'qwen2_5_vl'


def write_own_data(root: Path, task: str, count: int | None = None) -> Path:
    """Fills ``root``/data/own: clips with captions, stills with captions or questions, or conversations.

    Args:
        root: Folder that the commands run in.
        task: ``'retrieval'``, ``'questions'``, ``'captions'`` or ``'chat'``, as the pages are called.
        count: Samples in each file. Defaults to those of :data:`COUNTS`.

    Returns:
        ``root``.
    """
    folder = root / 'data/own'
    for split, number in COUNTS.items():
        records = [_record(folder, task, f'{split}{i}', i) for i in range(count or number)]
        (folder / f'{split}.jsonl').write_text(''.join(json.dumps(record) + '\n' for record in records))
    return root


def _record(folder: Path, task: str, name: str, number: int) -> dict:
    """One line of a file, and the picture or clip that it names."""
    word, article = list(COLOURS)[number % 3], 'the' if 'test' in name else 'a'  # no caption is in both files
    frame = np.full((32, 32, 3), COLOURS[word], np.uint8)
    # No two are equal, which check-data would tell of.
    frame[number % 24 : number % 24 + 6, (5 if 'train' in name else 20) :][:, :6] = 10 * number
    if task == 'retrieval':
        path = _folder(folder / 'clips') / f'{name}.mp4'
        write_video(path, np.stack([np.roll(frame, 2 * shift, axis=1) for shift in range(6)]))
        return dict(video=f'clips/{path.name}', caption=f'{article} {word} square moves')
    path = _folder(folder / 'stills') / f'{name}.png'
    Image.fromarray(frame).save(path)
    image = f'stills/{path.name}'
    if task == 'captions':
        return dict(image=image, caption=f'{article} {word} square')
    if task == 'questions':
        return dict(image=image, question='which colour?', answer=word)
    messages = [dict(role='user', content='<image>what colour is it ?'), dict(role='assistant', content=word)]
    return dict(messages=messages, images=[image])


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_several_tasks(root: Path, count: int | None = None) -> Path:
    """Fills ``root``/data/own with a file of questions and one of captions for each split, and writes tiny_model.py.

    Returns:
        ``root``.
    """
    folder = root / 'data/own'
    for task in ('questions', 'captions'):
        write_own_data(root, task, count)
        for split in COUNTS:
            (folder / f'{split}.jsonl').rename(folder / f'{task}_{split}.jsonl')
    model = tiny_recipe('own_data/captions_vlpet-large_bart-base.py', root).model
    model.pop('adapter')
    Config(dict(model=model.to_dict())).dump(root / 'tiny_model.py')
    return root


def write_bases(root: Path, model: dict) -> None:
    """Weights and vocabulary of a recipe's model at tiny geometry, below ``root``, if they are not there yet."""
    if (root / f'{model.type}.there').exists():
        return
    if model.type in ('Retriever', 'GenerativeVQA'):
        write_blip_bases(root)
    elif model.type == 'VLSeq2Seq':
        write_vl_bases(root, model.lm.model_type)
    elif model.type == 'ImageTextLM':
        tiny_vlms.build(VLM).save_pretrained(root / 'tiny')
        tiny_vlms.processor(VLM, root / 'tiny')
    else:
        tiny_epalm.write_vocabulary(root / 'opt')
        built = tiny_epalm.build_perceptual(torch.float32)
        for part in ('lm', 'encoder'):
            prefix = 'encoder.' if part == 'encoder' else ''
            state = {prefix + key: value for key, value in getattr(built, part).state_dict().items()}
            torch.save(state, root / f'opt_{part}.pth')
    (root / f'{model.type}.there').touch()


def shrink_model(model: dict, root: Path) -> None:
    """Gives a recipe's model the tiny geometry, and the files of :func:`write_bases`; what it does stays."""
    if model.type == 'Retriever' and model.text.type == 'SiglipTextEncoder':
        shrink_siglip_model(model, root)
    elif model.type in ('Retriever', 'GenerativeVQA'):
        shrink_blip_model(model, root)
    elif model.type == 'VLSeq2Seq':
        shrink_vl_model(model, root)
    elif model.type == 'ImageTextLM':
        folder = str(root / 'tiny')
        model.update(model=folder, processor=folder, base_checkpoint=dict(source=folder))
        model.tasks = {name: dict(task, max_new_tokens=4) for name, task in model.tasks.items()}
        model.pop('dtype', None)
    else:
        tiny = tiny_epalm.perceptual_config('opt', str(root / 'opt'))
        model.update({key: tiny[key] for key in ('lm', 'vocab_size', 'vocabulary', 'encoder')})
        model.adapter.update(start=1, end=tiny_epalm.LAYERS - 1)
        model.base_checkpoint = {part: dict(source=str(root / f'opt_{part}.pth')) for part in ('lm', 'encoder')}
        for task in model.tasks.values():
            task.max_new_tokens = 4


def tiny_recipe(recipe: str, root: Path, batch_size: int = 4) -> RunConfig:
    """A recipe of the zoo at tiny geometry, with its weights below ``root``; it trains as many epochs as it did.

    Args:
        recipe: Path below ``configs``, such as ``own_data/retrieval_uniadapter_blip-base.py``.
        root: Takes weights and vocabularies.
        batch_size: Of all loaders. Defaults to 4.
    """
    cfg = RunConfig.read(ROOT / 'configs' / recipe)
    write_bases(root, cfg.model)
    shrink_model(cfg.model, root)
    tower = cfg.model.get('vision') or cfg.model.get('encoder')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False, batch_size=batch_size)
        for step in loader.dataset.pipeline:
            if 'size' in step:
                step.size = tower.get('img_size') or tower.config.image_size
            if 'num_frames' in step:
                step.num_frames = min(step.num_frames, 2)
            if 'image_options' in step:
                step.image_options = dict(min_pixels=64, max_pixels=256)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        if not isinstance(evaluator, list) and evaluator.type == 'CaptionMetric':
            evaluator.tokenizer = 'python'  # Java takes a second for each validation
    return cfg


def write_recipe(recipe: str, root: Path) -> Path:
    """Writes :func:`tiny_recipe` as ``root``/configs/``recipe``."""
    cfg = tiny_recipe(recipe, root)
    path = root / 'configs' / recipe
    path.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(path)
    return path
