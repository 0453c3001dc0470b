"""The folder of the hub: written whole, loaded as it is, refused when it has changed."""

import hashlib
import json
import re
import shutil

import pytest
import torch
from mmengine.config import Config
from PIL import Image
from published_run import base_of, publish

import vlpeft
from tests.apis.tiny_answerers import write_answerer
from tests.commands import run_script
from tests.tools.test_export import logits
from tests.tools.test_export import trained as trained_vlm
from vlpeft import CaptionInferencer, ChatInferencer, VQAInferencer
from vlpeft.apis.hub_folder import read_hub_folder
from vlpeft.checkpoint import CheckpointError


@pytest.fixture(scope='module')
def folder(run, tmp_path_factory):
    path = tmp_path_factory.mktemp('hub') / 'mine'
    done = publish(run[1], '--hub-folder', path, '--result', run[2], '--licence', 'mit')
    assert done.returncode == 0, done.stderr
    assert 'see to it that its licence allows that' in done.stdout
    return path


def test_what_it_holds(folder, run):
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()) == [
        'README.md',
        'result.json',
        'tokenizer/vocab.txt',
        'vlpeft_model.json',
        'vlpeft_recipe.json',
        'vlpeft_trained.safetensors',
    ]
    assert [path.name for path in folder.parent.iterdir()] == ['mine']
    assert json.loads((folder / 'result.json').read_text())['metrics'] == json.loads(run[2].read_text())['metrics']
    assert (folder / 'README.md').stat().st_mode & 0o044 == 0o044, 'others may read it'


def test_it_loads_as_the_checkpoint_does(folder, run):
    config, checkpoint, _ = run
    expected = vlpeft.get_model(config, checkpoint)
    found = vlpeft.get_model(folder, base_checkpoint=base_of(config))
    assert found.state_dict().keys() == expected.state_dict().keys()
    differing = [
        key
        for key, value in expected.state_dict().items()
        if not key.startswith(('momentum.', 'queue.')) and not torch.equal(found.state_dict()[key], value)
    ]
    assert differing == []
    text = ['a red square moves left']
    assert torch.equal(found.tokenizer(text, 'cpu').ids, expected.tokenizer(text, 'cpu').ids)


def test_the_lines_of_the_card(folder, run, tmp_path, monkeypatch):
    (code,) = re.findall(r'```python\n(.+?)```', (folder / 'README.md').read_text(), re.DOTALL)
    assert len(code.splitlines()) == 3
    shutil.copytree(folder, tmp_path / 'mine')
    shutil.copytree(run[0].parent / 'data', tmp_path / 'videos')
    shutil.copy(run[0].parent / 'base.pth', tmp_path)
    monkeypatch.chdir(tmp_path)
    there = {}
    exec(code, there)
    config, checkpoint, _ = run
    expected = vlpeft.RetrievalInferencer(config, checkpoint).index('videos').search('a red square', top=7)
    assert there['finder'].search('a red square', top=7) == expected


def test_without_its_base_it_says_what_to_do(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'its base base.pth is not here.*base_checkpoint=dict\(source=…\)'):
        vlpeft.get_model(folder)
    torch.save({'vision.cls_token': torch.ones(1, 1, 16)}, 'base.pth')
    with pytest.raises(CheckpointError):
        vlpeft.get_model(folder)


@pytest.mark.parametrize(
    'name',
    ['vlpeft_model.json', 'vlpeft_recipe.json', 'vlpeft_trained.safetensors', 'tokenizer/vocab.txt', 'result.json'],
)
@pytest.mark.parametrize('place', [0.0, 0.3, 0.99])
def test_a_changed_byte_is_refused(folder, tmp_path, name, place):
    copy = tmp_path / 'mine'
    shutil.copytree(folder, copy)
    read_hub_folder(copy)
    data = bytearray((copy / name).read_bytes())
    data[int(place * len(data))] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(
        CheckpointError, match=r'has changed since it was published|is damaged|lacks|does not list|vers'
    ):
        read_hub_folder(copy)


def test_missing_and_added_files(folder, tmp_path):
    copy = tmp_path / 'mine'
    shutil.copytree(folder, copy)
    (copy / 'README.md').write_text('a card of my own')
    read_hub_folder(copy)
    (copy / 'tokenizer/added_tokens.json').write_text('{}')
    with pytest.raises(CheckpointError, match='added_tokens.json is not among the files'):
        read_hub_folder(copy)
    (copy / 'tokenizer/added_tokens.json').unlink()
    (copy / 'vlpeft_trained.safetensors').unlink()
    with pytest.raises(CheckpointError, match='lacks vlpeft_trained.safetensors'):
        read_hub_folder(copy)


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda recipe: recipe.pop('model'), "it has no settings of a 'model'"),
        (lambda recipe: recipe.update(model='Retriever'), "it has no settings of a 'model'"),
        (lambda recipe: recipe['model'].update(vocabulary='folder::README.md'), 'is none of the files that'),
        (lambda recipe: recipe['model'].update(vocabulary='folder::../x'), 'leads out of the folder'),
    ],
)
def test_a_recipe_of_another_form_is_refused(folder, tmp_path, change, message):
    copy = tmp_path / 'mine'
    shutil.copytree(folder, copy)
    recipe = json.loads((copy / 'vlpeft_recipe.json').read_text())
    change(recipe)
    (copy / 'vlpeft_recipe.json').write_text(json.dumps(recipe))
    listed = json.loads((copy / 'vlpeft_model.json').read_text())
    listed['files']['vlpeft_recipe.json'] = hashlib.sha256((copy / 'vlpeft_recipe.json').read_bytes()).hexdigest()
    (copy / 'vlpeft_model.json').write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match=message):
        read_hub_folder(copy)


def test_a_recipe_that_leads_out_of_the_folder(folder, tmp_path):
    copy = tmp_path / 'mine'
    shutil.copytree(folder, copy)
    listed = json.loads((copy / 'vlpeft_model.json').read_text())
    listed['files']['../secret'] = '0' * 64
    (copy / 'vlpeft_model.json').write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match="'../secret' is no file of the folder"):
        read_hub_folder(copy)


def test_the_recipe_trains(folder, run, tmp_path, monkeypatch):
    monkeypatch.chdir(run[0].parent)
    data = str(run[0].parent / 'data')
    sets = [f'{split}_dataloader.dataset.data_root={data}' for split in ('train', 'val', 'test')]
    recipe = folder / 'vlpeft_recipe.json'
    done = run_script(
        'tools/test.py', recipe, folder / 'vlpeft_trained.safetensors', '--out', tmp_path / 'again.json',
        '--cfg-options', f'model.vocabulary={folder / "tokenizer"}', *sets,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, expected = (json.loads(path.read_text())['metrics'] for path in (tmp_path / 'again.json', run[2]))
    assert found == pytest.approx(expected)


def test_half_written_folders_never_replace_good_ones(folder, run, tmp_path, monkeypatch):
    copy = tmp_path / 'mine'
    shutil.copytree(folder, copy)
    before = {path: path.read_bytes() for path in copy.rglob('*') if path.is_file()}
    assert '--overwrite to replace it' in publish(run[1], '--hub-folder', copy).stderr

    def full(self, data):
        if self.name == 'README.md':
            raise OSError(28, 'No space left on device')
        with open(self, 'wb') as file:
            return file.write(data)

    with monkeypatch.context() as patch:
        patch.setattr('pathlib.Path.write_bytes', full)
        assert publish(run[1], '--hub-folder', copy, '--overwrite').returncode == 1
    assert {path: path.read_bytes() for path in copy.rglob('*') if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ['mine']
    assert publish(run[1], '--hub-folder', copy, '--overwrite', '--no-tokenizer').returncode == 0
    assert not (copy / 'tokenizer').exists()
    (tmp_path / 'notes').mkdir()
    (tmp_path / 'notes/a.txt').write_text('mine')
    assert 'so it is not replaced' in publish(run[1], '--hub-folder', tmp_path / 'notes', '--overwrite').stderr


def test_a_lora_of_a_chat_model_is_a_folder_of_peft_too(tmp_path, monkeypatch):
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    task = trained_vlm(tmp_path)
    expected = logits(task.vlm)
    done = publish(tmp_path / 'run.pth', '--config', tmp_path / 'config.py', '--hub-folder', tmp_path / 'mine')
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / 'mine/adapter_config.json').read_text())
    assert settings['base_model_name_or_path'] is None
    base = AutoModelForImageTextToText.from_pretrained(tmp_path / 'base')
    torch.testing.assert_close(logits(PeftModel.from_pretrained(base, tmp_path / 'mine').eval()), expected)
    ours = vlpeft.get_model(
        tmp_path / 'mine', model=str(tmp_path / 'base'), base_checkpoint=dict(source=str(tmp_path / 'base'))
    )
    torch.testing.assert_close(logits(ours.vlm), expected)
    assert ChatInferencer(tmp_path / 'base', tmp_path / 'mine').adapters == ('default',)
    (code,) = re.findall(r'```python\n(.+?)```', (tmp_path / 'mine/README.md').read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    there = {}
    exec(code, there)
    torch.testing.assert_close(logits(there['model'].vlm), expected)
    with pytest.raises(FileNotFoundError, match=r'its base \(not published\) is not here'):
        vlpeft.get_model('mine')


@pytest.mark.parametrize('kind', ['epalm', 'bart_caption', 'blip_rank'])
def test_the_lines_of_cards_of_models_that_write(tmp_path, monkeypatch, capsys, kind):
    made = write_answerer(tmp_path / kind, kind)
    done = publish(made.checkpoint, '--config', made.config, '--hub-folder', tmp_path / 'hub/mine')
    assert done.returncode == 0, done.stderr
    (code,) = re.findall(r'```python\n(.+?)```', (tmp_path / 'hub/mine/README.md').read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path / 'hub')
    name = 'photo.jpg'
    if kind != 'blip_rank':
        Image.open(made.files[0]).convert('RGB').save(name)
    config = Config.fromfile(made.config)
    base = config.model.base_checkpoint
    for record in [base] if 'source' in base else base.values():
        shutil.copy(record.source, '.')
    capsys.readouterr()
    exec(code, {})
    expected = dict(
        epalm=lambda: VQAInferencer(made.config, made.checkpoint)(name, 'what is it?'),
        bart_caption=lambda: CaptionInferencer(made.config, made.checkpoint)(name),
        blip_rank=lambda: vlpeft.get_model(made.config).method,
    )[kind]()
    assert capsys.readouterr().out.splitlines()[-1] == str(expected)


def test_a_folder_is_an_adapter_by_name(tmp_path):
    made = write_answerer(tmp_path / 'bart', 'bart')
    assert publish(made.other, '--config', made.config, '--hub-folder', tmp_path / 'mine').returncode == 0
    ask = VQAInferencer(made.config, made.checkpoint, adapters=dict(mine=tmp_path / 'mine'))
    expected = VQAInferencer(made.config, made.other)(made.files, 'what is it')
    assert ask(made.files, 'what is it', adapter='mine') == expected
    (tmp_path / 'mine/vlpeft_recipe.json').write_text('{}')
    with pytest.raises(CheckpointError, match='has changed'):
        ask.add_adapter('again', tmp_path / 'mine')


@pytest.mark.parametrize('arguments, message', [
    ([], 'give a file to write, or --hub-folder DIR'),
    (['a.pth', '--hub-folder', 'b'], 'give a file to write, or --hub-folder DIR'),
    (['a.pth', '--push', 'me/mine'], '--push uploads a folder'),
    (['a.pth', '--yes'], '--yes goes with --push'),
    (['a.pth', '--cfg-options', 'a=1'], '--cfg-options goes with --config'),
    (['a.pth', '--overwrite'], '--overwrite goes with --hub-folder'),
])  # fmt: skip
def test_arguments(run, arguments, message):
    done = publish(run[1], *arguments)
    assert done.returncode == 2 and message in done.stderr
