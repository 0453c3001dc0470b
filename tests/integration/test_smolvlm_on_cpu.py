"""SmolVLM-256M's geometry with random weights and the recipe's data path: 20 steps on a CPU, and their memory."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch
from PIL import Image

from tests import tiny_vlms
from tests.workspace import ROOT
from vlpeft.engine.launch import load_config
from vlpeft.models.backbones.image_text_lm import build_image_text_lm

# https://huggingface.co/HuggingFaceTB/SmolVLM-256M-Instruct, its config.json; Hugging Face counts 256,484,928.
PARAMETERS = 256_484_928
TEXT = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3)
VISION = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
STEPS, BATCH = 20, 2
CHILD = """
    import json, re, sys, time
    from pathlib import Path
    import torch
    from vlpeft.engine.launch import build_runner, load_config
    from vlpeft.engine.memory import RunLayout, build_for, estimate, sizes_for
    from vlpeft.models import count_parameters
    from vlpeft.datasets.transforms.pack_chat import tokens_of
    import transformers.models.smolvlm.modeling_smolvlm, transformers.models.smolvlm.processing_smolvlm

    def peak():
        # Of this program alone: getrusage goes on from the process that started it.
        return 1024 * int(re.search(r'VmHWM:\\s+([0-9]+)', Path('/proc/self/status').read_text())[1])

    before = peak()
    cfg = load_config(sys.argv[1])
    cfg.launcher = 'none'
    runner = build_runner(cfg)
    start = time.perf_counter()
    runner.train()
    seconds = time.perf_counter() - start
    took = peak() - before
    sample = runner.train_dataloader.dataset[0, 0]
    tokens, answer = tokens_of(sample['inputs']), int((sample['inputs']['labels'] != -100).sum())
    counts = count_parameters(runner.model)
    layout = RunLayout.of(cfg, 1)
    model = build_for(cfg, layout)
    pictures = sizes_for(cfg, model).picture_tokens
    sizes = sizes_for(cfg, model, text=tokens - answer - pictures, answer=answer)
    rows = estimate(model, layout, cfg.optim_wrapper, sizes, on_cpu=True)
    losses = [float(value) for value in runner.message_hub.get_scalar('train/loss').data[0]]
    found = dict(took=took, seconds=seconds, rows=rows, tokens=tokens, answer=answer, losses=losses)
    print(json.dumps(dict(found, **counts)))
"""


def write_run(folder):
    """Pictures with questions, the processor, and a config that inherits the recipe."""
    lines = []
    for number in range(STEPS * BATCH):
        Image.new('RGB', (640, 480), (6 * number, 20, 200)).save(folder / f'{number}.png')
        said = [
            ('user', '<image>what colour is the image ?'),
            ('assistant', 'a picture of blue' if number % 2 else 'red'),
        ]
        turns = [dict(role=role, content=text) for role, text in said]
        lines.append(json.dumps(dict(messages=turns, images=[f'{number}.png'])))
    (folder / 'train.jsonl').write_text('\n'.join(lines))
    tiny_vlms.processor('smolvlm', folder / 'processor')
    # 512 px, patches of 16 and 4 x 4 of them to a token: 64 tokens.
    for name in ('processor_config.json', 'preprocessor_config.json'):
        path = folder / 'processor' / name
        if path.is_file():
            content = json.loads(path.read_text())
            if 'image_seq_len' in content:
                content['image_seq_len'] = 64
            for part in (content, content.get('image_processor') or {}):
                if 'max_image_size' in part:
                    part.update(size=dict(longest_edge=512), max_image_size=dict(longest_edge=512))
            path.write_text(json.dumps(content))
    config = f"""
        _base_ = 'vlpeft::vlm/lora_smolvlm2-2.2b_own-chat.py'
        model = dict(
            model=dict(
                text_config=dict({TEXT}, rope_theta=100000.0),
                vision_config=dict({VISION}, image_size=512, patch_size=16),
                scale_factor=4,
                image_token_id={tiny_vlms.FIRST},
            ),
            processor={str(folder / 'processor')!r},
            base_checkpoint=dict(source={str(folder / 'base')!r}),
        )
        train_dataloader = dict(batch_size={BATCH}, num_workers=1, dataset=dict(data_root={str(folder)!r}))
        val_dataloader = val_cfg = val_evaluator = None
        test_dataloader = test_cfg = test_evaluator = None
        optim_wrapper = dict(accumulative_counts=1, optimizer=dict(lr=1e-3))
        default_hooks = dict(checkpoint=dict(save_best=None), logger=dict(interval=1))
        work_dir = {str(folder / 'run')!r}
    """
    path = folder / 'run.py'
    path.write_text(textwrap.dedent(config).replace('dict({', 'dict(**{'))
    torch.manual_seed(0)
    vlm = build_image_text_lm(load_config(str(path)).model.model.to_dict(), 'bfloat16')
    vlm.save_pretrained(folder / 'base')


@pytest.mark.slow
def test_twenty_steps_take_about_the_memory_that_was_estimated(tmp_path):
    write_run(tmp_path)
    command = [sys.executable, '-c', textwrap.dedent(CHILD), str(tmp_path / 'run.py')]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    estimated = sum(found['rows'].values())
    print(f'{STEPS} steps of {BATCH} samples in {found["seconds"]:.0f} s, of {found["tokens"]} tokens each')
    print(f'peak {found["took"] / 2**20:.0f} MiB, estimated {estimated / 2**20:.0f} MiB: {found["rows"]}')
    print('losses', *(f'{loss:.2f}' for loss in found['losses']))
    blocks, width, queries, values, hidden = 30, 576, 576, 192, 1536
    maps = 2 * (width + queries) + 2 * (width + values) + 3 * (width + hidden)
    assert found['trainable'] == blocks * 16 * maps
    assert found['total'] == PARAMETERS + found['trainable']
    assert found['tokens'] > 64 and len(found['losses']) == STEPS
    assert sum(found['losses'][-5:]) < sum(found['losses'][:5])
    # Libraries, the allocator and a second copy of the weights while they are drawn come on top.
    assert 0.8 * estimated < found['took'] < 2.5 * estimated
