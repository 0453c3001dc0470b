"""The zoo of tiny image-text-to-text models: every family runs, looks at its images and has a processor that loads."""

import pytest
import torch

from tests import tiny_vlms
from tests.tiny_vlms import FAMILIES


def changed(inputs: dict) -> dict:
    """The same inputs with other images."""
    return inputs | dict(pixel_values=inputs['pixel_values'].flip(-1))


@pytest.mark.parametrize('name', FAMILIES)
def test_runs_forward_with_images_and_generates(name):
    model = tiny_vlms.build(name)
    inputs = tiny_vlms.batch(name)
    with torch.no_grad():
        out = model(**inputs)
        other = model(**changed(inputs))
    answers = inputs['labels'] != -100
    assert torch.isfinite(out.loss) and out.logits.isfinite().all()
    assert answers.any(1).all()
    moved = (out.logits[:, -answers.shape[1] :] - other.logits[:, -answers.shape[1] :]).abs().amax(-1)
    assert moved[answers].max() > 1e-3, 'the images change nothing'
    prompts = tiny_vlms.batch(name, answers=None, side='right' if FAMILIES[name].encoder_decoder else 'left')
    made = model.generate(**prompts, max_new_tokens=3, min_new_tokens=3, do_sample=False)
    assert made.shape[0] == 2 and made.shape[1] >= 3


@pytest.mark.parametrize('name', FAMILIES)
def test_the_same_seed_gives_the_same_model(name):
    first, again, other = (tiny_vlms.build(name, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize('name', FAMILIES)
def test_the_processor_loads_from_its_folder(name, tmp_path):
    from transformers import AutoProcessor

    made = tiny_vlms.loaded_processor(name)
    loaded = AutoProcessor.from_pretrained(tiny_vlms.processor(name, tmp_path))
    assert type(loaded) is type(made)
    text = tiny_vlms.prompt(name, 'what colour is it ? Zürich 7')
    rows = [maker(images=[tiny_vlms.picture()], text=[text], return_tensors='pt') for maker in (made, loaded)]
    assert sorted(rows[0]) == sorted(rows[1])
    assert all(torch.equal(torch.as_tensor(rows[0][key]), torch.as_tensor(rows[1][key])) for key in rows[0])
    assert len(loaded.tokenizer) <= (FAMILIES[name].geometry['text_config']['vocab_size'])
    ids = loaded.tokenizer('a red picture', add_special_tokens=False)['input_ids']
    assert loaded.tokenizer.decode(ids) == 'a red picture'


@pytest.mark.parametrize('name', FAMILIES)
def test_samples_have_as_many_images_as_the_row_says(name):
    fewest, most = FAMILIES[name].images
    pictures = [tiny_vlms.picture(seed, (16 + 8 * seed, 16)) for seed in range(3)]
    images = [pictures[:fewest], pictures[: min(most, 2)]]
    out = tiny_vlms.build(name)(**tiny_vlms.batch(name, images=images))
    assert torch.isfinite(out.loss)
