"""ChatInferencer against the data path, the loop of tools/test.py, transformers without a cache, and fresh models."""

import json
import shutil

import pytest
import torch
from mmengine.config import Config

import vlpeft
from tests import tiny_vlms
from tests.apis.tiny_chats import NEW_TOKENS, asked, write_adapter, write_chats
from tests.tiny import vqa_config
from vlpeft import ChatInferencer
from vlpeft.adaptation import AdapterFolderError
from vlpeft.chat import ChatError
from vlpeft.datasets import ClipError
from vlpeft.engine.packing import share_packing
from vlpeft.models.finite import NonFiniteError
from vlpeft.registry import DATASETS
from vlpeft.zoo.folder import ZooError

# Plain stacks, packed patches, masks of token types, no chat template, and an encoder-decoder.
DEFAULT = ('llava', 'qwen2_5_vl', 'smolvlm', 'gemma3', 'paligemma', 'florence2')
FAMILIES = [
    pytest.param(name, marks=() if name in DEFAULT else pytest.mark.slow)
    for name in tiny_vlms.FAMILIES
    if name != 'aya_vision'
]
QUESTION = 'what colour is it ?'


@pytest.fixture(scope='module')
def places(tmp_path_factory):
    made = {}

    def place(name):
        if name not in made:
            made[name] = write_chats(tmp_path_factory.mktemp('chats') / name, name)
        return made[name]

    return place


@pytest.fixture
def llava(places, monkeypatch):
    """LLaVA's folder, as the current one."""
    monkeypatch.chdir(places('llava').root)
    return places('llava')


def of_config(place, checkpoint=None, **options):
    return ChatInferencer(place.config, checkpoint or place.checkpoint, device='cpu', **options)


def of_folder(place, *args, **options):
    packing = {key: value for key, value in place.packing.items() if key != 'encoder_decoder'}
    return ChatInferencer(place.model, *args, device='cpu', packing=packing, **options)


def logits(ask, adapter=...):
    """Of a fixed question, by the adapter; all vocabularies begin with the same tokens."""
    sample = ask.preprocess(ask.packing.request.asked('0.png', QUESTION))
    data = ask.model.data_preprocessor(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))
    with ask._adapters.using(ask._chosen(adapter)), torch.no_grad():
        return ask.model(**data, mode='tensor')


@pytest.mark.parametrize('name', FAMILIES)
def test_prompts_and_answers_are_those_of_the_test_loop(places, monkeypatch, name):
    place = places(name)
    monkeypatch.chdir(place.root)
    expected = place.predictions()
    ask = of_config(place)
    cfg = Config.fromfile(place.config)
    share_packing(cfg)
    for sample, record in zip(DATASETS.build(cfg.test_dataloader.dataset), place.records, strict=True):
        found = ask.preprocess(_conversation(asked(record)))['inputs']
        assert found.keys() == sample['inputs'].keys()
        assert all(torch.equal(found[key], value) for key, value in sample['inputs'].items())
    replies = ask([asked(record) for record in place.records])
    assert [reply.answer for reply in replies] == expected
    assert all(reply.error is None and reply.score is None for reply in replies)
    assert replies[0].files == ('0.png',) and replies[0].question == QUESTION
    for size in (1, 3):
        assert ask([asked(record) for record in place.records], batch_size=size) == replies
    assert ask(asked(place.records[0])) == replies[0]
    assert ask('0.png', QUESTION) == replies[0]
    assert ask(['0.png', '1.png'], [QUESTION, 'describe it']) == replies[:2]


def _conversation(record):
    from vlpeft.apis.chat_questions import conversation

    return conversation(record)


@pytest.mark.parametrize('name', ['llava', 'qwen2_5_vl', 'smolvlm', 'gemma3', 'florence2'])
def test_scores_are_means_over_tokens_without_a_cache(places, monkeypatch, name):
    place = places(name)
    monkeypatch.chdir(place.root)
    ask = of_config(place)
    family = tiny_vlms.FAMILIES[name]
    # Of the first picture LLaVA's weights write an image token, which a whole pass would show an image for.
    file = '1.png' if name == 'llava' else '0.png'
    sample = ask.preprocess(ask.packing.request.asked(file, QUESTION))['inputs']
    ends = {family.end, tiny_vlms.EOS}
    with ask._adapters.using('default'), torch.no_grad():
        written, total = [], 0.0
        while len(written) < NEW_TOKENS and not ends & {*written}:
            log_probs = next_log_probs(ask.model.vlm, sample, written, family)
            written.append(int(log_probs.argmax()))
            total += float(log_probs.max())
        beams = ask.model.vlm.generate(**sample, num_beams=3, max_new_tokens=NEW_TOKENS, do_sample=False)
    reply = ask(file, QUESTION, scores=True)
    text = tiny_vlms.loaded_processor(name).tokenizer.decode(written, skip_special_tokens=True).strip()
    assert reply.answer == text == ask(file, QUESTION).answer
    assert reply.score == pytest.approx(torch.tensor(total / len(written)).exp().item(), rel=1e-4)
    # Of the best of three beams, whose tokens transformers gives, likewise.
    ids = beams[0].tolist()
    ids = ids[1:] if family.encoder_decoder else ids[sample['input_ids'].shape[1] :]
    ids = ids[: 1 + next((at for at, token in enumerate(ids) if token in ends), len(ids))]
    with ask._adapters.using('default'), torch.no_grad():
        steps = [next_log_probs(ask.model.vlm, sample, ids[:at], family)[token] for at, token in enumerate(ids)]
    best = ask(file, QUESTION, num_beams=3, scores=True)
    assert best.score == pytest.approx(torch.stack(steps).mean().exp().item(), rel=1e-4)


def next_log_probs(vlm, sample, written, family):
    """log p (V,) of the token behind a prompt and some that were written, by a whole pass."""
    more = torch.tensor([written], dtype=torch.long)
    if family.encoder_decoder:
        start = torch.tensor([[family.geometry['text_config']['decoder_start_token_id'], *written]])
        return vlm(**sample, decoder_input_ids=start, use_cache=False).logits[0, -1].log_softmax(-1)
    longer = dict(sample, input_ids=torch.cat([sample['input_ids'], more], 1))
    for key, value in dict(attention_mask=1, token_type_ids=0, mm_token_type_ids=0).items():
        if key in sample:
            longer[key] = torch.cat([sample[key], torch.full_like(more, value)], 1)
    return vlm(**longer, use_cache=False).logits[0, -1].log_softmax(-1)


@pytest.mark.parametrize('name', ['llava', 'qwen2_5_vl', 'gemma3'])
def test_a_dialogue_keeps_its_turns(places, monkeypatch, name):
    place = places(name)
    monkeypatch.chdir(place.root)
    ask = of_config(place)
    chat = ask.chat(['0.png', '1.png'])
    assert chat.turns == []
    first = chat.say(QUESTION)
    with pytest.raises(ClipError, match='nowhere.png: no such file'):
        chat.say('and it ?', files='nowhere.png')
    assert len(chat.turns) == 2
    second = chat.say('and it ?', files='2.png', scores=True)
    record = dict(
        messages=[
            dict(role='user', content=f'<image><image>{QUESTION}'),
            dict(role='assistant', content=first.answer),
            dict(role='user', content='<image>and it ?'),
        ],
        images=['0.png', '1.png', '2.png'],
    )
    assert ask(record, scores=True) == second and second.files == ('0.png', '1.png', '2.png')
    assert ask(('0.png', '1.png'), QUESTION) == first
    parts = [dict(type='image_url', image_url=dict(url=path)) for path in ('0.png', '1.png')]
    assert ask([dict(role='user', content=[*parts, dict(type='text', text=QUESTION)])]) == first
    assert [turn['role'] for turn in chat.turns] == ['user', 'assistant'] * 2
    assert chat.turns[-1]['content'] == [dict(type='text', text=second.answer)]
    texts = ask.chat()
    texts.say('describe it')
    assert texts.say('yes ?').files == ()


def test_without_a_template_there_is_one_question(places, monkeypatch):
    place = places('paligemma')
    monkeypatch.chdir(place.root)
    chat = of_config(place).chat('0.png')
    chat.say(QUESTION)
    with pytest.raises(ValueError, match='holds one question and one answer'):
        chat.say('and it ?')
    with pytest.raises(ValueError, match='has no chat template; give'):
        ChatInferencer(place.model, device='cpu')


def test_checkpoints_by_name_are_fresh_models(llava):
    ask = of_config(llava, adapters=dict(other=llava.other))
    fresh = {name: of_config(llava, path) for name, path in (('default', llava.checkpoint), ('other', llava.other))}
    base = of_config(llava, 'base')
    assert ask.adapters == ('default', 'other') and base.adapters == () and ask.kept == ()
    found = {name: logits(ask, name) for name in ('other', None, 'default')}
    assert all(torch.equal(logits(one), found[name]) for name, one in fresh.items())
    assert torch.equal(logits(base), found[None]) and torch.equal(logits(ask), found['default'])
    assert not torch.equal(found['other'], found['default'])
    for name, one in (*fresh.items(), (None, base)):
        assert ask('0.png', QUESTION, adapter=name, scores=True) == one('0.png', QUESTION, scores=True)
    with pytest.raises(ValueError, match="there is no adapter 'othr'; did you mean other?"):
        ask('0.png', QUESTION, adapter='othr')


@pytest.mark.parametrize('name', ['llava', 'qwen2_5_vl', 'smolvlm', 'paligemma', 'florence2'])
def test_adapter_folders_are_fresh_models(places, monkeypatch, tmp_path, name):
    place = places(name)
    monkeypatch.chdir(place.root)
    folders = dict(
        a=write_adapter(place, tmp_path / 'a', 1),
        b=write_adapter(place, tmp_path / 'b', 2, trainable=['norms']),
        c=write_adapter(place, tmp_path / 'c', 3, trainable=['connectors'] if name != 'florence2' else ['norms']),
    )
    ask = of_folder(place, adapters={key: folders[key] for key in 'ab'})
    ask.add_adapter('c', folders['c'])
    assert ask.adapters == ('a', 'b', 'c') and ask.kept == ()
    base = of_folder(place)
    found = {key: logits(ask, key) for key in ('c', 'a', None, 'b')}
    for key, folder in folders.items():
        assert torch.equal(logits(of_folder(place, folder)), found[key])
        other = tiny_vlms.build(name)
        vlpeft.load_adapter(other, folder, check_after=0)
        sample = ask.preprocess(ask.packing.request.asked('0.png', QUESTION))['inputs']
        with torch.no_grad():
            torch.testing.assert_close(other(**sample).logits, found[key], rtol=1e-5, atol=1e-5)
    assert torch.equal(logits(base), found[None]) and torch.equal(logits(ask), found['a'])
    assert len({tuple(value.flatten().tolist()) for value in found.values()}) == 4
    # After an error the first acts again.
    with pytest.raises(NonFiniteError), monkeypatch.context() as patched:
        patched.setattr(ask.model.answers, 'texts', _fail)
        ask('0.png', QUESTION, adapter='c')
    assert torch.equal(logits(ask), found['a'])


def _fail(ids):
    raise NonFiniteError('logits', 0)


def test_a_folder_of_peft_is_what_peft_computes(llava, tmp_path):
    from peft import PeftModel

    folder = write_adapter(llava, tmp_path / 'peft', 4, format='peft')
    ask = of_folder(llava, folder)
    sample = ask.preprocess(ask.packing.request.asked('0.png', QUESTION))['inputs']
    other = PeftModel.from_pretrained(tiny_vlms.build('llava'), folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(logits(ask), other(**sample).logits, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits(ask), logits(ask, None), atol=1e-3)
    # It names the folder that its model is from.
    alone = ChatInferencer(folder, device='cpu')
    assert torch.equal(logits(alone), logits(ask)) and alone.adapters == ('default',)


def test_an_adapter_folder_that_names_its_base(llava, tmp_path):
    folder = write_adapter(llava, tmp_path / 'own', 5, trainable=['norms'])
    alone = ChatInferencer(folder, device='cpu')
    assert torch.equal(logits(alone), logits(of_folder(llava, folder)))
    with pytest.raises(ValueError, match='is an adapter folder, and so checkpoint='):
        ChatInferencer(folder, folder, device='cpu')
    # Of a config the base and the packing are taken, and the method is the folder's.
    assert torch.equal(logits(of_config(llava, folder)), logits(alone))
    moved = tmp_path / 'moved'
    shutil.copytree(folder, moved)
    handle = vlpeft.load_adapter(tiny_vlms.build('llava'), folder, check_after=0)
    handle.save(moved)
    with pytest.raises(AdapterFolderError, match="names its base 'LlavaForConditionalGeneration', which is not to be"):
        ChatInferencer(moved, device='cpu')


def test_kinds_of_adapters_are_not_mixed(llava, tmp_path):
    folder = write_adapter(llava, tmp_path / 'own', 5)
    with pytest.raises(ValueError, match='one.pth is no adapter folder'):
        of_folder(llava, llava.checkpoint)
    with pytest.raises(ValueError, match='one.pth is no adapter folder'):
        of_config(llava, adapters=dict(a=folder))
    ask = of_config(llava)
    with pytest.raises(ValueError, match='own is no checkpoint'):
        ask.add_adapter('a', folder)
    assert ask.adapters == ('default',)
    ask = of_folder(llava, folder)
    before = logits(ask)
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken/adapter_config.json').write_text('{')
    for name, path, message in (
        ('b', tmp_path / 'broken', 'no JSON'),
        ('default', folder, 'is there already'),
        ('base', folder, 'is the model without adapters'),
        (' ', folder, 'needs a name'),
    ):
        with pytest.raises((ValueError, AdapterFolderError), match=message):
            ask.add_adapter(name, path)
    assert ask.adapters == ('default',) and torch.equal(logits(ask), before)


def test_drawn_answers_depend_on_the_seed_alone(llava):
    ask = of_config(llava)
    drawn = [ask('0.png', QUESTION, temperature=2.0, seed=seed, scores=True) for seed in range(6)]
    assert len({reply.answer for reply in drawn}) > 3
    before = torch.random.get_rng_state()
    several = ask(['1.png', '0.png'], QUESTION, temperature=2.0, seed=4, scores=True, batch_size=2)
    assert several[1] == drawn[4] and torch.equal(torch.random.get_rng_state(), before)
    likeliest = ask('0.png', QUESTION)
    assert ask('0.png', QUESTION, temperature=1.0, top_p=1e-6, seed=3).answer == likeliest.answer
    assert ask('0.png', QUESTION, temperature=1e-4, seed=3).answer == likeliest.answer


def test_choices_are_compared(llava):
    ask = of_config(llava)
    choices = ('yes', 'a red picture', 'red')
    task = vlpeft.apis.chat_settings.answering(ask.model.tasks['chat'], choices=choices).task
    sample = ask.preprocess(ask.packing.request.asked('0.png', QUESTION))['inputs']
    with ask._adapters.using('default'):
        (found,) = ask.model.candidates(sample, task)
    reply = ask('0.png', QUESTION, choices=choices, scores=True)
    scores = torch.tensor([one.score for one in found]).softmax(0)
    assert reply.answer == found[0].text and reply.score == pytest.approx(float(scores[0]), rel=1e-5)
    assert ask('0.png', QUESTION, choices=choices, chosen_by='first_token').answer in choices


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(seed=1), 'seed=1 is of sampling; set temperature too'),
        (dict(top_p=0.5), 'top_p=0.5 is of sampling'),
        (dict(temperature=1.0), 'set seed too'),
        (dict(temperature=0, seed=1), 'temperature=0; it is a number above 0'),
        (dict(temperature=float('nan'), seed=1), 'temperature=nan; it is a number above 0'),
        (dict(temperature=1.0, seed=1, top_p=1.5), 'top_p=1.5; it is a number above 0 and at most 1'),
        (dict(temperature=1.0, seed=-1), 'seed=-1; it is an integer of at least 0'),
        (dict(temperature=1.0, seed=1, num_beams=2), 'num_beams=2 looks for the likeliest'),
        (dict(choices=['a', 'b'], num_beams=2), 'num_beams=2 is of written answers'),
        (dict(choices=['a']), 'leaves nothing to choose'),
        (dict(choices='ab'), 'a list of answers'),
        (dict(chosen_by='score'), 'is of choices, and there are none'),
        (dict(max_new_tokens=0), 'max_new_tokens=0; it is an integer of at least 1'),
        (dict(batch_size=0), 'batch_size=0; it is a number of conversations'),
    ],
)
def test_settings_that_are_refused(llava, settings, message):
    ask = of_config(llava)
    with pytest.raises(ValueError, match=message):
        ask('0.png', QUESTION, **settings)
    with pytest.raises(TypeError, match='max_token'):
        ask('0.png', QUESTION, max_token=3)


def test_what_cannot_be_used_is_said_of_its_own_question(llava):
    (llava.root / 'broken.png').write_bytes(b'no image')
    ask = of_config(llava)
    texts = [QUESTION, QUESTION, 'a </s> b', QUESTION]
    replies = ask(['0.png', 'broken.png', '1.png', 'nowhere.png'], texts)
    assert replies[0] == ask('0.png', QUESTION)
    assert [reply.answer is None for reply in replies] == [False, True, True, True]
    assert replies[1].error and replies[3].error == 'no such file'
    (several,) = [one for one in ask([('0.png', 'nowhere.png'), '0.png'], QUESTION) if one.error]
    assert several.error == 'cannot use nowhere.png: no such file'
    assert "holds '</s>', a special token" in replies[2].error
    with pytest.raises(ClipError, match='broken.png'):
        ask('broken.png', QUESTION)
    with pytest.raises(ValueError, match='none of 2 conversations can be used; the first: cannot use broken.png'):
        ask(['broken.png', 'nowhere.png'], QUESTION)
    with pytest.raises(ValueError, match="holds '<image>', a special token|placeholder"):
        ask(None, '<image>what is it ?')
    with pytest.raises(ValueError, match='takes no videos'):
        ask('clip.mp4', QUESTION)
    longer = of_config(llava, packing=dict(max_length=5))
    with pytest.raises(ValueError, match='more than max_length=5'):
        longer('0.png', QUESTION)


@pytest.mark.parametrize(
    'files, text, kind, message',
    [
        ('0.png', ' ', ValueError, "the text ' ' is blank"),
        ('0.png', None, TypeError, 'a question is a text, not None'),
        ('0.png', 3, TypeError, 'a question is a text, not 3'),
        (3, 'a', TypeError, 'files are paths, not 3'),
        ('0.txt', 'a', ValueError, '0.txt: neither a video nor an image by its suffix'),
        ('http://host/a.png', 'a', ValueError, 'nothing is fetched from the network'),
        (['0.png', '1.png'], ['a', 'b', 'c'], ValueError, '2 files and 3 texts; give as many of both'),
        ([], 'a', ValueError, 'an empty list of files'),
        ('0.png', [], ValueError, 'an empty list of texts'),
        ('0.png', '<image> and <image>', ValueError, '2 placeholders for images and the record lists 1 image'),
        (dict(files='a'), None, ChatError, 'a conversation has one of conversations, messages, query'),
        ([dict(role='assistant', content='a')], None, ChatError, 'the user first'),
        (
            [dict(role='user', content='a'), dict(role='assistant', content='b')],
            None,
            ChatError,
            'the last turn is an answer',
        ),
        (
            [dict(role='user', content=[dict(type='image_url', image_url=dict(url='http://host/a.png')), 'b'])],
            None,
            ValueError,
            'nothing is fetched from the network',
        ),
    ],
)
def test_questions_that_are_refused(llava, files, text, kind, message):
    ask = _shared(llava)
    with pytest.raises(kind, match=message):
        ask(files, text)


_MADE = {}


def _shared(place):
    """A model that no test changes."""
    return _MADE.setdefault(place.root, of_config(place))


@pytest.mark.parametrize('name', ['qwen2_5_vl', 'glm4v'])
def test_images_and_videos_in_one_list(places, monkeypatch, name):
    place = places(name)
    monkeypatch.chdir(place.root)
    ask = of_config(place)
    assert ask.media == ('image', 'video')
    files = ['0.png', 'clip.mp4', None, '1.png']
    together, alone = ask(files, QUESTION, batch_size=4), [ask(file, QUESTION) for file in files]
    assert together == alone and len({reply.answer for reply in alone}) > 2


def test_videos_as_images(llava):
    ask = of_config(llava, packing=dict(videos_as='images', num_frames=3))
    assert ask.media == ('image', 'video') and _shared(llava).media == ('image',)
    sample = ask.preprocess(ask.packing.request.asked('clip.mp4', QUESTION))['inputs']
    assert sample['pixel_values'].shape[0] == 3 and ask('clip.mp4', QUESTION).error is None


def test_one_file_and_many_texts(llava):
    ask = _shared(llava)
    one, two = (ask('0.png', text) for text in (QUESTION, 'describe it'))
    assert ask('0.png', [QUESTION, 'describe it']) == ask(['0.png'], [QUESTION, 'describe it']) == [one, two]
    assert ask(['0.png'], QUESTION) == [one]
    pair = ask(('0.png', '1.png'), QUESTION)
    assert ask([('0.png', '1.png'), '0.png'], QUESTION) == [pair, one]
    assert ask(('0.png', '1.png'), f'<image><image>{QUESTION}') == pair
    assert ask(None, 'describe it').files == ()


def test_questions_in_the_words_of_the_data(tmp_path, monkeypatch):
    prompt = dict(type='ToChat', prompt='{question} describe it', system='you are a model')
    place = write_chats(tmp_path / 'asked', 'llava', (prompt,), type='JSONLQA')
    rows = [dict(image=f'{seed}.png', question=f'what is {word} ?', answer='red') for seed, word in enumerate('ab')]
    (place.root / 'test.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    monkeypatch.chdir(place.root)
    ask = of_config(place)
    files, questions = [row['image'] for row in rows], [row['question'] for row in rows]
    replies = ask(files, questions)
    assert [reply.answer for reply in replies] == place.predictions()
    cfg = Config.fromfile(place.config)
    share_packing(cfg)
    for sample, file, question in zip(DATASETS.build(cfg.test_dataloader.dataset), files, questions, strict=True):
        found = ask.preprocess(ask.packing.request.asked(file, question))['inputs']
        assert torch.equal(found['input_ids'], sample['inputs']['input_ids'])
    # A conversation is taken as it is.
    turns = [
        dict(role='system', content='you are a model'),
        dict(role='user', content='<image>what is a ? describe it'),
    ]
    assert ask(dict(messages=turns, images=['0.png'])).answer == replies[0].answer
    same = write_chats(tmp_path / 'same', 'llava', (dict(type='ToChat', prompt='describe it'),), type='JSONLQA')
    describe = of_config(same)
    assert describe(['0.png', '1.png'])[1] == describe('1.png') == describe('1.png', 'describe it')


def test_what_holds_no_conversations(llava, tmp_path):
    other = tmp_path / 'vqa.py'
    other.write_text(f'model = {vqa_config()!r}\n')
    with pytest.raises(ValueError, match='a GenerativeVQA holds no conversations; use VQAInferencer'):
        ChatInferencer(other, 'base', device='cpu')
    with pytest.raises(ZooError, match='does not exist.*and model .*is neither a folder'):
        ChatInferencer('nobody/nothing', device='cpu')
    with pytest.raises(ValueError, match="packing: there is no setting 'num_frame'; did you mean num_frames?"):
        of_config(llava, packing=dict(num_frame=2))
    with pytest.raises(ValueError, match="has no task 'vqa'; there are chat"):
        of_config(llava, task='vqa')
    with pytest.raises(ValueError, match='adapter=… is of configs'):
        of_folder(llava, adapter=dict(rank=4))
    with pytest.raises(ValueError, match='image-text-to-text model .*the folder has none of config.json'):
        ChatInferencer(tmp_path, device='cpu')


def test_number_formats(llava):
    assert {param.dtype for param in of_folder(llava).model.vlm.parameters()} == {torch.float32}
    short = of_folder(llava, dtype='bfloat16')
    assert {param.dtype for param in short.model.vlm.parameters()} == {torch.bfloat16}
    assert short('0.png', QUESTION).error is None
    with pytest.raises(ValueError, match="dtype='int8'; choose from"):
        of_folder(llava, dtype='int8')
