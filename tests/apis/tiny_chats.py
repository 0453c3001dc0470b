"""A tiny image-text-to-text model of each family that holds conversations: its folder, config, checkpoints and data."""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.runner import Runner

import vlpeft
from tests import tiny_vlms
from tests.apis.tiny_answerers import write_checkpoint
from tests.media import numbered_frames, write_video
from tests.workspace import ROOT
from vlpeft.engine.packing import share_packing
from vlpeft.engine.run_config import RunConfig

NEW_TOKENS, SCALE = 6, 0.3
SIDE = tiny_vlms.SIDE


class Chatter(NamedTuple):
    """A model in a folder.

    Attributes:
        root: Where its config's data are too, the current folder of those who name them.
        model: Folder of the model of transformers and its processor.
        config: A config of it, with a LoRA and norms that train.
        checkpoint: Of the config.
        other: Likewise.
        records: Of its test set.
        packing: Settings of PackChat that the family needs.
        lora: A method.
    """

    root: Path
    model: Path
    config: Path
    checkpoint: Path
    other: Path
    records: list[dict]
    packing: dict
    lora: dict

    def path(self, name: str) -> str:
        return str(self.root / name)

    def predictions(self) -> list[str]:
        """What the loop of ``tools/test.py`` predicts for the records, in their order."""
        cfg = RunConfig.read(self.config)
        share_packing(cfg)
        cfg.load_from = str(self.checkpoint)
        cfg.work_dir, cfg.experiment_name = str(self.root / 'runs'), str(self.config)
        runner = Runner.from_cfg(cfg)
        runner.test()
        return [row['answer'] for row in runner.test_evaluator.metrics[0].predictions]


def write_chats(root: Path, name: str, steps: tuple[dict, ...] = (), **dataset) -> Chatter:
    """Everything of a family below ``root``.

    Args:
        root: Folder, which is made.
        name: Of the family.
        steps: Of the pipeline, before PackChat. Defaults to ().
        **dataset: Settings of the test set; by default conversations.
    """
    root.mkdir(parents=True, exist_ok=True)
    family, model = tiny_vlms.FAMILIES[name], root / 'model'
    tiny_vlms.build(name).save_pretrained(model)
    tiny_vlms.processor(name, model)
    for seed in range(3):
        tiny_vlms.picture(seed, (SIDE + 8 * (seed % 2), SIDE)).save(root / f'{seed}.png')
    write_video(root / 'clip.mp4', numbered_frames(6, (SIDE * 2, SIDE * 5)))
    records = conversations(name)
    (root / 'test.jsonl').write_text(''.join(json.dumps(record) + '\n' for record in records))
    packing = dict(encoder_decoder=True) if family.encoder_decoder else {}
    packing |= {} if family.style else dict(prompt=family.prompt)
    packing |= dict(num_frames=2)
    settings = dict(
        type='ImageTextLM',
        model=tiny_vlms.config(name),
        processor=str(model),
        dtype='float32',
        adapter=lora(name),
        trainable=['norms'],
        base_checkpoint=dict(source=str(model)),
        tasks=dict(chat=dict(max_new_tokens=NEW_TOKENS)),
    )
    loader = dict(
        batch_size=2,
        num_workers=0,
        persistent_workers=False,
        collate_fn=dict(type='vlpeft.collate_chat'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            dict(type='JSONLChat', data_root=str(root), ann_file='test.jsonl', test_mode=True),
            pipeline=[*steps, dict(type='PackChat', task='chat')],
            **dataset,
        ),
    )
    config = root / 'config.py'
    config.write_text(
        f'_base_ = {str(ROOT / "configs/_base_/seq2seq_runtime.py")!r}\nmodel = {settings!r}\npacking = {packing!r}\n'
        f"test_dataloader = {loader!r}\ntest_evaluator = dict(type='OpenEndedMetric')\ntest_cfg = dict()\n"
    )
    paths = [write_checkpoint(config, root / f'{each}.pth', seed) for seed, each in enumerate(('one', 'other'))]
    return Chatter(root, model, config, *paths, records, packing, lora(name))


def lora(name: str) -> dict:
    """A LoRA of what writes."""
    tower = 'decoder' if tiny_vlms.FAMILIES[name].encoder_decoder else 'lm'
    return dict(type='LoRA', rank=2, targets=dict(towers=[tower], kinds=['self_attn']))


def conversations(name: str) -> list[dict]:
    """Records of a test set, as far as a family takes them: one image; two, between words; none; several turns with a
    system text; a video.
    """
    family = tiny_vlms.FAMILIES[name]
    first = dict(messages=[_turn('user', '<image>what colour is it ?'), _turn('assistant', 'red')], images=['0.png'])
    more = dict(messages=[_turn('user', '<image>describe it'), _turn('assistant', 'a picture')], images=['1.png'])
    if not family.style:
        return [first, more]
    turns = [
        _turn('system', 'you are a model'),
        _turn('user', '<image>what is it ?'),
        _turn('assistant', 'a red picture'),
        _turn('user', 'and the image ?'),
        _turn('assistant', 'yes'),
    ]
    records = [first, more, dict(messages=turns, images=['2.png'])]
    said = [_turn('user', 'what is <image> and <image> ?'), _turn('assistant', 'no')]
    records.append(dict(messages=said, images=['0.png', '1.png']))
    records.append(dict(messages=[_turn('user', 'describe it'), _turn('assistant', 'blue')]))
    # GLM-4V cannot tell images from videos in one batch of a test.
    if family.video_processor and name != 'glm4v':
        shown = [_turn('user', '<video>what is it ?'), _turn('assistant', 'green')]
        records.append(dict(messages=shown, videos=['clip.mp4']))
    return records


def write_adapter(place: Chatter, folder: Path, seed: int, trainable=None, **save) -> Path:
    """An adapter folder that ``vlpeft.attach`` writes, with drawn weights."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(place.model, dtype=torch.float32)
    adapter = vlpeft.attach(model, place.lora, trainable=trainable, check_after=0)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for param in adapter.parameters():
            param.add_(torch.randn(param.shape, generator=generator) * SCALE)
    adapter.save(folder, **save)
    return folder


def asked(record: dict) -> dict:
    """A record up to its last question."""
    return dict(record, messages=record['messages'][:-1])


def _turn(role: str, text: str) -> dict:
    return dict(role=role, content=text)
