"""get_model end to end: a tiny model published with the real tool, served over HTTP, downloaded, loaded."""

import re
import shutil

import pytest
import torch

import vlpeft
from tests.apis.tiny_zoo import NAME, write_metafile, write_trained
from tests.tiny import random_batch
from tools.model_converters import publish_model
from vlpeft.apis import ZooError
from vlpeft.checkpoint import CheckpointError


def publish(zoo, capsys):
    """Publishes a trained model and pastes what the tool prints into the metafile; returns the model."""
    folder, config, server = zoo
    model = write_trained(config, folder / 'work/epoch_2.pth')
    assert (
        publish_model.main([str(folder / 'work/epoch_2.pth'), str(folder / f'{NAME}.pth'), '--config', str(config)])
        == 0
    )
    entry = capsys.readouterr().out.split('for the metafile:\n')[1].replace('<URL of the folder>', server.url)
    write_metafile(folder, entry)
    shutil.rmtree(folder.parent / 'cache')
    server.requests.clear()
    return model


def features(model):
    clips, _ = random_batch(dtype=torch.float32)
    with torch.no_grad():
        return model.encode_vision(clips).feature


def test_published_model_comes_back_as_it_was(zoo, capsys):
    _, config, server = zoo
    model = publish(zoo, capsys)
    loaded = vlpeft.get_model(NAME, pretrained=True)
    assert not loaded.training and loaded.base == model.base
    for key, param in model.named_parameters():
        assert torch.equal(loaded.get_parameter(key), param), key
    assert torch.equal(features(loaded), features(model))
    assert [re.sub('-[0-9a-f]{8}', '-HASH', path) for path in server.requests] == [
        f'/{NAME}-HASH.pth',
        '/work/base.pth',
    ]
    assert torch.equal(features(vlpeft.get_model(str(config), pretrained=True)), features(model))
    assert len(server.requests) == 2, 'the second time both come from the cache'


def test_wrong_hash_is_refused(zoo, capsys):
    publish(zoo, capsys)
    metafile = zoo[0] / 'configs/tiny/metafile.yml'
    metafile.write_text(re.sub('SHA256: .*', f'SHA256: "{"0" * 64}"', metafile.read_text()))
    with pytest.raises(CheckpointError, match='expected sha256 0000'):
        vlpeft.get_model(NAME, pretrained=True)


def test_own_checkpoint_base_alone_and_random(zoo):
    folder, config, server = zoo
    model = write_trained(config, folder / 'epoch_2.pth')
    assert torch.equal(features(vlpeft.get_model(NAME, folder / 'epoch_2.pth')), features(model))
    base = vlpeft.get_model(NAME, 'base')
    assert torch.equal(base.vision.cls_token, model.vision.cls_token)
    assert not torch.equal(features(base), features(model))
    server.requests.clear()
    fresh = vlpeft.get_model(NAME)
    assert fresh.base is None and server.requests == []
    assert not torch.equal(fresh.vision.cls_token, model.vision.cls_token)


def test_overrides_are_merged_into_the_model(zoo):
    model = vlpeft.get_model(NAME, adapter=dict(bottleneck=2), frame_aware=False)
    assert model.adapter.layers[0].down.out_features == 2 and not model.frame_aware
    model = vlpeft.get_model(NAME, adapter=None)
    assert model.adapter is None


def test_errors(zoo, tmp_path):
    folder, config, _ = zoo
    with pytest.raises(ZooError, match="there is no model 'tiny_clip'; did you mean tiny_clips?"):
        vlpeft.get_model('tiny_clip')
    with pytest.raises(
        ZooError, match='file configs/tiny/clip.py does not exist .*; did you mean configs/tiny/clips.py?'
    ):
        vlpeft.get_model('configs/tiny/clip.py')
    with pytest.raises(ZooError, match='there is no model .*; the zoo has tiny_clips'):
        vlpeft.get_model('qqqqqqq')
    with pytest.raises(ZooError, match='no trained weights are published for tiny_clips; give'):
        vlpeft.get_model(NAME, pretrained=True)
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        vlpeft.get_model(NAME, pretrained='nowhere.pth')
    with pytest.raises(ZooError, match='names no base'):
        vlpeft.get_model(NAME, 'base', base_checkpoint=None)
    write_trained(config, tmp_path / 'whole.pth')
    checkpoint = torch.load(tmp_path / 'whole.pth')
    del checkpoint['state_dict']['itm_head.classifier.bias']
    torch.save(checkpoint, tmp_path / 'part.pth')
    message = 'part.pth holds .* leaves 1 parameters unfilled: itm_head .1.: itm_head.classifier.bias'
    with pytest.raises(CheckpointError, match=message):
        vlpeft.get_model(NAME, tmp_path / 'part.pth')
    (folder / 'work/base.pth').write_bytes((folder / 'work/base.pth').read_bytes() + b'.')
    with pytest.raises(CheckpointError, match='trained on another base'):
        vlpeft.get_model(NAME, tmp_path / 'whole.pth', base_checkpoint=dict(source=str(folder / 'work/base.pth')))


def test_attributes_of_the_package():
    with pytest.raises(AttributeError, match='get_modell'):
        vlpeft.get_modell
    assert vlpeft.RetrievalInferencer.__name__ == 'RetrievalInferencer'
