"""Files of the prompt baseline in VL-PET's code, on BART: names typed out from its description, values random."""

import pytest
import torch

from tests.checkpoint.released_baselines import TASKS, draw, released
from tests.slow_prompts import SlowPrompted
from tests.slow_vl import SlowVL
from tests.tiny_vl import build_vl, random_samples, vl_config, write_tokenizer
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import detect
from vlpeft.checkpoint.tied import unique_state
from vlpeft.checkpoint.trained import load_trained
from vlpeft.checkpoint.write import to_layout
from vlpeft.registry import MODELS
from vlpeft.testing.backbones import WIDTH

LENGTH, HIDDEN = 4, 6
PROMPT = dict(type='PromptTuning', length=LENGTH, hidden=HIDDEN)
# Embedding(40, d) -> Lin(d -> 800) -> tanh -> Lin(800 -> d); the tanh has no weights.
SHAPES = {
    '0.weight': (LENGTH, WIDTH),
    '1.weight': (HIDDEN, WIDTH),
    '1.bias': (HIDDEN,),
    '3.weight': (WIDTH, HIDDEN),
    '3.bias': (WIDTH,),
}


def released_prompt(tasks):
    """A whole file, and the prompt's tensors once."""
    state = released('full', ())
    once = {leaf: draw(*shape) for leaf, shape in SHAPES.items()}
    for task in tasks:
        for leaf, value in once.items():
            state[f'module.model.encoder.prompt_modules.prompts.{task}.prefix_embedding.{leaf}'] = value
    return state, once


def slow_of(model, state, once):
    """The whole model restated from the file alone; of ours, only the geometry and the tokenizer."""
    plain = {key.removeprefix('module.'): value for key, value in state.items()}
    visual = 'model.encoder.visual_embedding'
    ours = {
        f'{part}.{rest}': plain[f'{visual}.{theirs}.{rest}']
        for theirs, part, rests in (
            ('feat_embedding', 'feature', ('0.weight', '0.bias', '1.weight', '1.bias')),
            ('absolute_vis_pos_embedding', 'position', ('0.weight', '0.bias', '1.weight', '1.bias')),
            ('img_order_embedding', 'image', ('weight',)),
        )
        for rest in rests
    }
    slow = SlowVL(plain, ours, {}, model.lm.config, model.tokenizer, model.visual_embedding.grid, {})
    hidden = torch.tanh(once['0.weight'] @ once['1.weight'].T + once['1.bias'])
    slow.slow = SlowPrompted(plain, model.lm.config, hidden @ once['3.weight'].T + once['3.bias'])
    return slow


@pytest.mark.parametrize('layout', TASKS)
def test_a_whole_file_loads_computes_and_is_saved_back(tmp_path, layout):
    state, once = released_prompt(TASKS[layout])
    assert detect(state).name == layout
    model = build_vl('bart', write_tokenizer(tmp_path, 'bart'), seed=3, adapter=PROMPT)
    report = load_trained(model, Checkpoint.of(state, 'LAST.pth'))
    assert report.dialect == layout and not report.unexpected and not report.missing
    features, samples = random_samples()
    slow = slow_of(model, state, once)
    found = model(features, samples, mode='loss')['loss_vqa']
    torch.testing.assert_close(found, slow.loss(features, samples, 'sample'), rtol=1e-8, atol=1e-8)
    encoded = model(features, samples)
    for row, (logits, target) in enumerate(slow.logits(features, samples)):
        start = torch.tensor([[model.lm.config.decoder_start_token_id, *target[:-1]]])
        one = model.logits(type(encoded)(*(part[row : row + 1] for part in encoded)), start)[0]
        torch.testing.assert_close(one, logits, rtol=1e-8, atol=1e-8)
    written = to_layout(layout, unique_state(model), model).content
    assert set(written) == set(state)
    assert all(torch.equal(written[key], value) for key, value in state.items())


@pytest.mark.parametrize('layout', TASKS)
def test_the_trained_part_on_its_base_is_the_whole(tmp_path, layout):
    state, _ = released_prompt(TASKS[layout])
    part = {key: value for key, value in state.items() if 'prompt' in key or 'visual_embedding' in key}
    part = {key: value for key, value in part.items() if 'obj_order' not in key}
    base = {key.removeprefix('module.'): value.float() for key, value in state.items() if key not in part}
    base = {key: value for key, value in base.items() if 'visual_embedding' not in key}
    torch.save(base, tmp_path / 'bart.bin')
    config = vl_config('bart', base_checkpoint=dict(lm=dict(source=str(tmp_path / 'bart.bin'))), adapter=PROMPT)
    model, whole = MODELS.build(config), MODELS.build(vl_config('bart', adapter=PROMPT))
    report = load_trained(model, Checkpoint.of(part, 'pet.pth'))
    assert report.dialect == layout and not report.unexpected and not report.missing
    load_trained(whole, Checkpoint.of(state))
    for name, param in model.named_parameters():
        assert torch.equal(param, whole.get_parameter(name)), name
    trained = {name: param.detach() for name, param in model.named_parameters() if name in report.loaded}
    written = to_layout(layout, trained, model).content
    assert set(written) == set(part) and all(written[key].equal(part[key].float()) for key in part)


def test_tasks_with_prompts_of_their_own_are_refused():
    state, _ = released_prompt(TASKS['vl_pet'])
    key = 'module.model.encoder.prompt_modules.prompts.gqa.prefix_embedding.0.weight'
    with pytest.raises(CheckpointError, match='names of one shared tensor disagree'):
        load_trained(build_vl('bart', adapter=PROMPT), Checkpoint.of({**state, key: state[key] + 1}))
