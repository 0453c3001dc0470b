"""Checkpoints by name: switching is exact, off is the base alone, errors leave everything as it was."""

import threading

import pytest
import torch
from mmengine.config import Config

from tests.apis.tiny_answerers import KINDS, write_answerer
from vlpeft import CaptionInferencer, VQAInferencer, get_model
from vlpeft.checkpoint import CheckpointError
from vlpeft.registry import MODELS

#: One of each task model, and one whose base file lacks trained parts.
SAMPLE = ('blip_rank', 'epalm', 'bart', 'chat')


@pytest.fixture(scope='module')
def answerers(tmp_path_factory):
    made = {}

    def answerer(kind):
        if kind not in made:
            made[kind] = write_answerer(tmp_path_factory.mktemp('adapters') / kind, kind)
        return made[kind]

    return answerer


def inferencer(place, **options):
    kind = CaptionInferencer if 'caption' in place.rows[0] else VQAInferencer
    return kind(place.config, device='cpu', **options)


def call(found, place, **options):
    """The texts of all files."""
    asked = () if isinstance(found, CaptionInferencer) else ([row['question'] for row in place.rows],)
    return [one[-3] for one in found(place.files, *asked, **options)]


def weights(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def assert_equal(state, expected):
    assert state.keys() == expected.keys()
    assert [key for key in state if not torch.equal(state[key], expected[key])] == []


@pytest.mark.parametrize('dtype', [None, 'bfloat16'])
@pytest.mark.parametrize('kind', SAMPLE)
def test_switching_equals_a_fresh_model_bit_by_bit(answerers, kind, dtype):
    place = answerers(kind)
    found = inferencer(place, checkpoint=place.checkpoint, dtype=dtype)
    found.add_adapter('other', place.other)
    assert found.adapters == ('default', 'other')
    fresh = {
        'default': inferencer(place, checkpoint=place.checkpoint, dtype=dtype),
        'other': inferencer(place, checkpoint=place.other, dtype=dtype),
    }
    states = {name: weights(one.model) for name, one in fresh.items()}
    for name in ('other', 'default', None, 'other', None, 'default'):
        call(found, place, adapter=name)
        assert_equal(weights(found.model), states['default'])
        with found._adapters.using(name):
            if name is not None:
                assert_equal(weights(found.model), states[name])
                assert found.model.base_keys == fresh[name].model.base_keys
                assert found.model.switch.active == 'default'
    for name, one in fresh.items():
        assert call(found, place, adapter=name, scores=True) == call(one, place, scores=True)
    assert call(found, place) == call(found, place, adapter='default') != call(found, place, adapter='other')


@pytest.mark.parametrize('kind', KINDS)
def test_loads_as_get_model_does(answerers, kind):
    place = answerers(kind)
    expected = weights(get_model(place.config, place.checkpoint))
    assert_equal(weights(inferencer(place, checkpoint=place.checkpoint).model), expected)
    named = inferencer(place, adapters=dict(mine=place.checkpoint, yours=place.other))
    assert named.adapters == ('mine', 'yours')
    assert_equal(weights(named.model), expected)


@pytest.mark.parametrize('kind', KINDS)
def test_switched_off_is_the_base_alone(answerers, kind):
    """Against a model without the method, with the base's file, and what no file holds from the first checkpoint."""
    place = answerers(kind)
    found = inferencer(place, checkpoint=place.checkpoint)
    found.add_adapter('other', place.other)
    trained = torch.load(place.checkpoint, weights_only=True)['state_dict']
    cfg = Config.fromfile(place.config).model
    method = cfg.pop('adapter')
    if method.type == 'EPALM':
        # It is what leads the picture to the language model; without it there is the text alone.
        cfg.encoder, cfg.base_checkpoint = None, dict(lm=cfg.base_checkpoint.lm)
    plain = MODELS.build(cfg).eval()
    base = weights(plain)
    plain.load_state_dict({key: value for key, value in trained.items() if key in base}, strict=False)
    plain.load_state_dict({key: value for key, value in base.items() if key in plain.filled}, strict=False)
    if 'bart' in kind or 't5' in kind:
        assert found.kept == ('visual_embedding',)
        # The norms that train beside the method are the base's again.
        assert any('norm' in key for key in trained if key.startswith('lm.'))
    else:
        assert found.kept == ()
    with found._adapters.using(None):
        state = weights(found.model)
        assert [key for key, value in plain.state_dict().items() if not torch.equal(value, state[key])] == []
        if hasattr(plain, 'set_answer_list') and kind == 'blip_rank':
            plain.set_answer_list(found.answers)
    expected = inferencer(place, checkpoint=place.checkpoint)
    expected.model = plain
    expected._adapters.model = plain
    samples = [expected.preprocess(dict(path=path, **_asked(row))) for path, row in zip(place.files, place.rows)]
    with found._adapters.using(None):
        assert found.forward(samples, scores=True) == expected.forward(samples, scores=True)
    assert call(found, place, adapter=None, scores=True) == [text for text, _ in expected.forward(samples, True)]


def _asked(row):
    return dict(question=row['question'], question_id=0) if 'question' in row else dict(sample_id='0')


def test_the_base_acts_where_it_is_the_checkpoint(answerers):
    place = answerers('bart')
    base = inferencer(place, checkpoint='base', adapters=dict(mine=place.checkpoint))
    named = inferencer(place, adapters=dict(mine=place.checkpoint))
    assert call(base, place) == call(named, place, adapter=None)
    assert call(base, place, adapter='mine') == call(named, place)
    bare = inferencer(place, checkpoint='base')
    assert bare.adapters == () and bare.kept == ()
    with pytest.raises(ValueError, match="there is no adapter 'mine'; none was loaded"):
        call(bare, place, adapter='mine')


def test_errors_change_nothing(answerers, tmp_path, monkeypatch):
    place, foreign = answerers('bart'), answerers('epalm')
    found = inferencer(place, checkpoint=place.checkpoint, adapters=dict(other=place.other))
    before, texts = weights(found.model), call(found, place)
    for name, path, error, said in (
        ('other', place.other, ValueError, "there is an adapter 'other' already"),
        ('base', place.other, ValueError, 'choose another name'),
        (' ', place.other, ValueError, 'needs a name'),
        ('third', tmp_path / 'none.pth', FileNotFoundError, 'none.pth'),
        ('third', foreign.checkpoint, CheckpointError, 'holds EPALM of a PerceptualLM, the config is VLPET'),
    ):
        with pytest.raises(error, match=said):
            found.add_adapter(name, path)
        assert found.adapters == ('default', 'other')
        assert_equal(weights(found.model), before)
    with pytest.raises(ValueError, match="there is no adapter 'othr'; did you mean other"):
        call(found, place, adapter='othr')
    with monkeypatch.context() as patch:
        patch.setattr(found.model.tokenizer, 'texts', lambda ids: 1 / 0)
        for name in ('other', None):
            with pytest.raises(ZeroDivisionError):
                call(found, place, adapter=name)
            assert_equal(weights(found.model), before)
            assert found.model.switch.active == 'default'
    assert call(found, place) == texts
    with pytest.raises(ValueError, match="adapters names 'default', which is the checkpoint"):
        inferencer(place, checkpoint=place.checkpoint, adapters=dict(default=place.other))


def test_what_was_merged_or_is_quantised_is_not_switched(answerers):
    place = answerers('bart')
    found = inferencer(place, checkpoint=place.checkpoint)
    found.model.detach_adapter()
    for change in (lambda: call(found, place, adapter=None), lambda: found.add_adapter('other', place.other)):
        with pytest.raises(ValueError, match='VLPET of a VLSeq2Seq was merged into the weights or taken off'):
            change()
    found = inferencer(place, checkpoint=place.checkpoint)
    found._adapters.quantised = True
    for change in (lambda: call(found, place, adapter=None), lambda: found.add_adapter('other', place.other)):
        with pytest.raises(ValueError, match='the base is quantised'):
            change()
    assert call(found, place) == call(found, place, adapter='default')


def test_threads_take_turns(answerers):
    place = answerers('bart')
    found = inferencer(place, checkpoint=place.checkpoint, adapters=dict(other=place.other))
    names = ('default', 'other', None)
    expected = {name: call(found, place, adapter=name, scores=True) for name in names}
    assert len(set(map(tuple, expected.values()))) == 3
    wrong = []

    def ask(name):
        for _ in range(4):
            if call(found, place, adapter=name, scores=True) != expected[name]:
                wrong.append(name)

    threads = [threading.Thread(target=ask, args=(name,)) for name in names * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
