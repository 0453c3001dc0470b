"""transformers.Trainer with a handle in the place of a model: it learns, saves what trains, and resumes exactly."""

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

import vlpeft
from tests.plain_models import PLAIN

VLPET = dict(type='VLPET', granularity='large', bottleneck=8, value_bottleneck=4)


class Pairs(Dataset):
    """Random texts; the target is one of three tokens for each of the first three of the text."""

    def __init__(self, count=32):
        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(3, 40, (count, 6), generator=generator)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        ids = self.ids[index]
        return dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=3 + ids[:3] % 3)


def trainer(folder, steps=20, **options):
    torch.manual_seed(0)
    adapter = vlpeft.attach(PLAIN['t5'].build(), VLPET, trainable=['lm_head'])
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        logging_steps=1,
        save_steps=10,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=3,
        **options,
    )
    return Trainer(model=adapter, args=arguments, train_dataset=Pairs())


def losses(run):
    return [entry['loss'] for entry in run.state.log_history if 'loss' in entry]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trainer')
    run = trainer(folder)
    run.train()
    return folder, run


def test_the_loss_falls(whole):
    _, run = whole
    found = losses(run)
    assert len(found) == 20 and sum(found[-5:]) < 0.8 * sum(found[:5])


def test_only_what_trains_is_saved(whole):
    folder, run = whole
    state = load_file(folder / 'checkpoint-20/model.safetensors')
    trained = {name: param for name, param in run.model.named_parameters()}
    assert state.keys() == trained.keys()
    # The output is one tensor with the word embeddings.
    assert [key for key in state if not key.startswith('sets.default.')] == ['parts.shared.weight']
    assert all(torch.equal(state[key], trained[key]) for key in state)


def test_resumed_it_ends_where_the_uninterrupted_run_does(whole, tmp_path):
    folder, run = whole
    again = trainer(tmp_path)
    again.train(resume_from_checkpoint=str(folder / 'checkpoint-10'))
    assert again.state.global_step == 20
    for (name, param), (_, expected) in zip(again.model.named_parameters(), run.model.named_parameters()):
        assert torch.equal(param, expected), name


def test_with_recomputed_activations(tmp_path):
    run = trainer(tmp_path, steps=3, gradient_checkpointing=True)
    plain = trainer(tmp_path, steps=3)
    for each in (run, plain):
        each.train()
    assert losses(run) == pytest.approx(losses(plain), rel=1e-5)
