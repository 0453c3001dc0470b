"""VQAInferencer and CaptionInferencer against the loop of tools/test.py, for every model that answers or describes."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.apis.tiny_answerers import KINDS, write_answerer
from tests.media import write_image, write_video
from tests.sounds import sine, write_sound
from tests.tiny import retriever_config
from vlpeft import CaptionInferencer, VQAInferencer
from vlpeft.datasets import ClipError
from vlpeft.engine import progress


@pytest.fixture(scope='module')
def answerers(tmp_path_factory):
    made = {}

    def answerer(kind):
        if kind not in made:
            made[kind] = write_answerer(tmp_path_factory.mktemp('answerers') / kind, kind)
        return made[kind]

    return answerer


@pytest.mark.parametrize('kind', KINDS)
def test_answers_are_those_of_the_test_loop(answerers, kind):
    place = answerers(kind)
    expected = place.predictions()
    assert len(set(expected)) > 1, 'the tiny model says more than one thing'
    if 'caption' in kind:
        describe = CaptionInferencer(place.config, place.checkpoint, device='cpu')
        found = describe(place.files)
        assert [one.caption for one in found] == expected
        scored = describe(place.files, scores=True)
        assert [one.caption for one in scored] == expected
        single = describe(place.files[1])
        assert single == found[1]
    else:
        ask = VQAInferencer(place.config, place.checkpoint, device='cpu')
        questions = [row['question'] for row in place.rows]
        found = ask(place.files, questions)
        assert [one.answer for one in found] == expected
        scored = ask(place.files, questions, scores=True)
        assert [one.answer for one in scored] == expected
        single = ask(place.files[1], questions[1])
        assert single == found[1]
    assert [one.file for one in found] == place.files
    assert all(one.error is None and one.score is None for one in found)
    assert all(0 < one.score <= 1 for one in scored)


def asker(place, **options):
    return VQAInferencer(place.config, place.checkpoint, device='cpu', **options)


def test_files_and_questions_are_paired_in_order(answerers):
    place = answerers('t5')
    ask, questions = asker(place), [row['question'] for row in place.rows]
    pairs = [ask(file, question) for file, question in zip(place.files, questions)]
    assert ask(place.files, questions) == ask(map(Path, place.files), iter(questions)) == pairs
    one_question = ask(place.files, questions[0])
    assert [one.file for one in one_question] == place.files and one_question[0] == pairs[0]
    assert ask(place.files, [questions[0]]) == one_question
    one_file = ask(place.files[1], questions)
    assert [one.question for one in one_file] == questions and one_file[1] == pairs[1]
    assert {one.file for one in one_file} == {place.files[1]}
    assert ask([place.files[0]], questions[0]) == [pairs[0]]
    for size in (1, 3, 99):
        assert ask(place.files, questions, batch_size=size) == pairs


@pytest.mark.parametrize(
    'files, questions, options, error, said',
    [
        (['a.png'] * 3, ['x'] * 2, {}, ValueError, '3 files and 2 questions'),
        ([], 'x', {}, ValueError, 'no file is given'),
        ('a.png', [], {}, ValueError, 'no question is asked'),
        ('a.png', ' \t', {}, ValueError, "the question ' .t' is empty"),
        ('a.png', ['x', ''], {}, ValueError, "the question '' is empty"),
        ('a.png', 3, {}, TypeError, 'the question 3 must be a text'),
        ('a.png', None, {}, TypeError, 'the question None must be a text'),
        ('a.png', 'what \ud800', {}, ValueError, 'holds half of a pair of characters'),
        ('a.png', ['x', None], {}, TypeError, 'the question None must be a text'),
        ([3], 'x', {}, TypeError, '3 is no path'),
        ('a.png', 'x', dict(batch_size=0), ValueError, 'batch_size=0; it is a number of samples'),
        ('a.png', 'x', dict(batch_size=True), ValueError, 'batch_size=True'),
        ('a.png', 'x', dict(adapter=['default']), ValueError, r"there is no adapter \['default'\]"),
        ('a.png', 'x', dict(adapter='mine'), ValueError, "there is no adapter 'mine'; there are default"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_files_are_read(answerers, files, questions, options, error, said):
    with pytest.raises(error, match=said):
        asker(answerers('t5'))(files, questions, **options)


def test_files_that_cannot_be_used_have_their_reason_and_the_rest_goes_on(answerers, tmp_path):
    place = answerers('t5')
    ask, good = asker(place), place.files[0]
    write_video(tmp_path / 'film.mp4', np.zeros((4, 32, 32, 3), np.uint8))
    sound = write_sound(tmp_path / 'tone.wav', sine(300.0))
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'broken.png').write_bytes(Path(good).read_bytes()[:60])
    (tmp_path / 'film.png').write_bytes((tmp_path / 'film.mp4').read_bytes())
    (tmp_path / 'still.jpg').write_bytes(Path(good).read_bytes())
    (tmp_path / 'note.txt').write_text('red')
    reasons = {
        'none.png': 'no such file',
        'empty.png': 'the file is empty',
        'broken.png': 'not a readable image',
        'film.png': 'by its content a MP4 file',
        'still.jpg': 'by its content a PNG file, but its suffix is .jpg',
        'film.mp4': 'a video; this model takes images',
        'tone.wav': 'a sound; this model takes images',
        'note.txt': 'neither an image, a video nor a sound by its suffix; this model takes images',
        '': r'no such file \(it is a folder\)',
    }
    bad = [str(tmp_path / name) for name in reasons]
    assert str(sound) in bad
    found = ask([good, *bad, good], 'what is it', scores=True)
    assert found[0] == found[-1] == ask(good, 'what is it', scores=True)
    for one, file, reason in zip(found[1:-1], bad, reasons.values()):
        assert one[:4] == (file, 'what is it', None, None)
        assert re.search(reason, one.error), one
        with pytest.raises(ClipError, match=reason):
            ask(file, 'what is it')
    with pytest.raises(ClipError, match=r'none of 9 files can be used; the first, .*none.png: no such file'):
        ask(bad, 'what is it')


def test_kinds_of_files_are_those_of_the_test(answerers, tmp_path):
    image, sound = str(write_image(tmp_path / 'a.png')), str(write_sound(tmp_path / 'a.wav', sine(300.0)))
    film = str(tmp_path / 'a.mp4')
    write_video(film, np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8))
    hear = CaptionInferencer(answerers('sound_caption').config, answerers('sound_caption').checkpoint, device='cpu')
    assert hear.media == ('audio',)
    with pytest.raises(ClipError, match='an image; this model takes sounds'):
        hear(image)
    assert hear([sound, film])[1].error == 'a video; this model takes sounds'
    # Clips of different shapes, of which no batch can be made, are answered beside each other.
    ask = asker(answerers('blip_generate'))
    assert ask.media == ('image', 'video')
    both = ask([image, film, image], 'what is it', batch_size=3)
    assert both[0] == both[2] == ask(image, 'what is it') and both[1] == ask(film, 'what is it')
    with pytest.raises(ClipError, match='a sound; this model takes images and videos'):
        ask(sound, 'what is it')


def test_configs_of_other_tasks_are_told_which_inferencer_fits(answerers, tmp_path):
    def write(name, text):
        path = tmp_path / f'{name}.py'
        path.write_text(text)
        return path

    ask, describe = answerers('t5'), answerers('t5_caption')
    retriever = write('clips', f'model = {retriever_config()!r}\n')
    for kind in (VQAInferencer, CaptionInferencer):
        with pytest.raises(ValueError, match='a Retriever finds files by texts; use RetrievalInferencer'):
            kind(retriever, 'base')
    with pytest.raises(ValueError, match='this model describes; use CaptionInferencer'):
        VQAInferencer(describe.config, describe.checkpoint)
    with pytest.raises(ValueError, match='this model answers questions; use VQAInferencer'):
        CaptionInferencer(ask.config, ask.checkpoint)
    with pytest.raises(ValueError, match="'what is it': a captioner takes no question; VQAInferencer"):
        CaptionInferencer(describe.config, describe.checkpoint, device='cpu')(describe.files[0], 'what is it')
    for recipe, said in (
        ('vl_pet/vlpet-large_bart-base_vqa', r'reads stored features \(LoadFeatures\)'),
        ('vl_pet/vlpet-large_bart-base_image', "several such tasks; choose one: task='vqa' or task='gqa'"),
        ('vlm/lora_gemma3-4b_own-chat', 'this model holds conversations; use ChatInferencer'),
    ):
        with pytest.raises(ValueError, match=said):
            VQAInferencer(recipe, 'base')
    with pytest.raises(ValueError, match="the test has no task 'vqaa'; it has vqa, gqa, nlvr2, caption"):
        VQAInferencer('vl_pet/vlpet-large_bart-base_image', 'base', task='vqaa')
    with pytest.raises(ValueError, match=r'reads stored features'):
        CaptionInferencer('vl_pet/vlpet-large_bart-base_image', 'base')
    other = write('pairs', ask.config.read_text().replace('{question}', '{question} {subtitles}'))
    with pytest.raises(ValueError, match="its prompt also asks for 'subtitles', which only its data set gives"):
        VQAInferencer(other, ask.checkpoint)


def test_device_and_number_format(answerers):
    place = answerers('t5')
    with pytest.raises(ValueError, match="dtype='half'; choose from float32, bfloat16, float16"):
        asker(place, dtype='half')
    with pytest.raises(ValueError, match="device='cuda:64', but torch sees"):
        VQAInferencer(place.config, place.checkpoint, device='cuda:64')
    for kind in ('t5', 'blip_rank', 'epalm', 'chat'):
        for dtype in ('bfloat16', 'float16'):
            half = asker(answerers(kind), dtype=dtype)
            # What trains of a model of transformers is in float32, as in its training.
            own = half.model.declared if kind == 'chat' else ()
            formats = {param.dtype for name, param in half.model.named_parameters() if name not in own}
            assert formats == {getattr(torch, dtype)}, kind
            found = half(answerers(kind).files, 'what is it', scores=True)
            assert all(one.answer is not None and 0 <= one.score <= 1 for one in found)


def test_scores_of_a_closed_list_are_shares_of_likelihoods(answerers):
    """Every answer is decoded alone, without a cache."""
    place = answerers('blip_rank')
    ask = asker(place)
    model, question = ask.model, place.rows[0]['question']
    assert ask.answers == [row['answer'] for row in place.rows]
    sums = []
    with torch.no_grad():
        sample = ask.preprocess(dict(path=place.files[0], question=question))
        clip = model.data_preprocessor(dict(inputs=sample['inputs'][None]))['inputs']
        context = model.encode_question(clip, model.tokenizer([question], clip.device)).take(torch.tensor([0]))
        for answer in ask.answers:
            ids = torch.tensor(model.tokenizer.ids([answer]))
            ids[:, 0] = model.tokenizer.decode_id
            log_probs = model.decoder(ids[:, :-1], torch.ones_like(ids[:, :-1]), context).log_softmax(-1)
            sums.append(float(log_probs.gather(2, ids[:, 1:, None]).sum()))
    best = max(range(len(sums)), key=sums.__getitem__)
    found = ask(place.files[0], question, scores=True)
    assert found.answer == ask.answers[best]
    assert found.score == pytest.approx(math.exp(sums[best]) / sum(map(math.exp, sums)), rel=1e-4)


def test_scores_of_written_answers_are_means_over_tokens(answerers):
    """Greedy search by hand, without a cache."""
    place = answerers('t5')
    ask, task = asker(place), asker(place).model.tasks['vqa']
    model = ask.model
    for file, row in zip(place.files, place.rows):
        sample = ask.preprocess(dict(path=file, question=row['question']))
        written, total = [model.lm.config.decoder_start_token_id], 0.0
        with torch.no_grad():
            images = model.data_preprocessor(dict(inputs=sample['inputs'][None]))['inputs']
            texts = model.tokens([sample['data_samples'].text], task.max_text, images.device)
            encoded = model.read(model.features(images), texts)
            while len(written) < 6 and written[-1] != model.lm.config.eos_token_id:
                log_probs = model.logits(encoded, torch.tensor([written]))[0, -1].log_softmax(-1)
                written.append(int(log_probs.argmax()))
                total += float(log_probs.max())
        found = ask(file, row['question'], scores=True)
        assert found.answer == model.tokenizer.texts([written])[0].strip()
        assert found.score == pytest.approx(math.exp(total / (len(written) - 1)), rel=1e-4)


def test_closed_lists_of_ones_own(answerers, tmp_path):
    place = answerers('blip_rank')
    yes_no = asker(place, answers=['up', 'down', 'up'])
    assert yes_no.answers == ['up', 'down']
    assert {one.answer for one in yes_no(place.files, 'is it red')} <= {'up', 'down'}
    assert asker(place, inference='generate').answers is None
    for wrong in ([], ['yes'], 'yes', ['yes', ' ']):
        with pytest.raises(ValueError, match='a closed list holds two texts or more'):
            asker(place, answers=wrong)
    with pytest.raises(ValueError, match='does not choose from a list; leave out answers'):
        asker(answerers('t5'), answers=['yes', 'no'])
    bare = tmp_path / 'bare.py'
    bare.write_text(place.config.read_text().replace("'answers_from': 'train.jsonl'", "'answers_from': None"))
    with pytest.raises(ValueError, match=r"its test set has none; give answers=\[…\], or inference='generate'"):
        VQAInferencer(bare, place.checkpoint)


def test_more_than_a_batch_has_a_progress_bar(answerers, capsys, monkeypatch):
    place = answerers('t5')
    ask = asker(place)
    monkeypatch.setattr(progress, 'LINE_EVERY', 0.0)
    capsys.readouterr()
    ask(place.files[0], 'what is it')
    ask(place.files, 'what is it', batch_size=5)
    assert capsys.readouterr() == ('', '')
    ask(place.files, 'what is it', batch_size=2)
    out, err = capsys.readouterr()
    assert out == '' and re.findall(r'^answering  (\d)/5  ETA 0:', err, re.M) == ['2', '4', '5']


def test_workers_read_as_this_process_does(answerers, tmp_path):
    place = answerers('t5')
    config = tmp_path / 'workers.py'
    config.write_text(place.config.read_text().replace("'num_workers': 0", "'num_workers': 2"))
    ask = VQAInferencer(config, place.checkpoint, device='cpu')
    (tmp_path / 'bad.png').write_bytes(b'no')
    files = [*place.files, str(tmp_path / 'bad.png')]
    assert ask(files, 'what is it') == asker(place)(files, 'what is it')
