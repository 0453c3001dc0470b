"""The task model of image-text-to-text models: losses, answers, choices, what trains, and which inputs are refused."""

import math

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from transformers import AutoConfig

from tests import tiny_vlms
from vlpeft.chat import encode, join, render_template
from vlpeft.models.answer_tokens import AnswerTokens
from vlpeft.models.finite import NonFiniteError
from vlpeft.models.tasks import ImageTextLM
from vlpeft.sites import SiteError

# A plain stack, packed patches, a mask that labels decide, an encoder-decoder; Cohere2's blocks are refused.
DEFAULT = ('llava', 'qwen2_5_vl', 'paligemma', 'florence2')
REFUSED = 'aya_vision'
FAMILIES = [
    pytest.param(name, marks=() if name in DEFAULT else pytest.mark.slow)
    for name in tiny_vlms.FAMILIES
    if name != REFUSED
]
TASKS = dict(
    vqa=dict(max_new_tokens=6),
    caption=dict(max_new_tokens=6, num_beams=3, output='pred_caption'),
    mean=dict(loss='sample'),
    first=dict(choices=('yes', 'no', 'red')),
    whole=dict(choices=('yes', 'a red picture', 'red'), chosen_by='score'),
)
QUESTIONS = ('what colour is it ?', 'describe the image', 'is it red ?')
ANSWERS = ('red', 'a blue picture', 'no')
PLAIN = dict(type='BaseDataPreprocessor')
LORA = dict(type='LoRA', rank=2, targets=dict(towers=['lm'], kinds=['self_attn']))


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tiny_vlms.processor(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


def config(name):
    geometry = tiny_vlms.config(name)
    if name == 'paligemma2':
        # transformers 4.57 forgets the padding of prompts that are longer than the window; real ones of 4,096 are not.
        geometry['text_config']['sliding_window'] = 64
    return geometry


@pytest.mark.parametrize('name', tiny_vlms.FAMILIES)
def test_a_model_knows_its_own_processor(folders, name):
    tokens = AnswerTokens(str(folders(name)))
    own = tiny_vlms.build(name).config
    tokens.check_fits(own)
    for other in (100, 10_000):
        for entry in ('image_token_id', 'image_token_index'):
            if getattr(own, entry, None) is not None:
                setattr(own, entry, other)
        with pytest.raises(
            ValueError, match=rf'is not that of this {own.model_type}: token {other}, .*no special token'
        ):
            tokens.check_fits(own)


def build(folders, name='llava', **options):
    options = dict(tasks=TASKS, dtype='float32', data_preprocessor=PLAIN) | options
    model = ImageTextLM(model=config(name), processor=folders(name), **options)
    model.vlm.load_state_dict(tiny_vlms.build(name).state_dict())
    return model


def samples(count=3, task='vqa', **fields):
    return [BaseDataElement(task=task, sample_id=index, **fields) for index in range(count)]


def inputs(name='llava', rows=slice(None), answers=ANSWERS):
    pictures = [[tiny_vlms.picture(seed, (tiny_vlms.SIDE + 8 * (seed % 2), tiny_vlms.SIDE))] for seed in range(3)]
    side = 'right' if answers or tiny_vlms.FAMILIES[name].encoder_decoder else 'left'
    return tiny_vlms.batch(name, QUESTIONS[rows], answers and answers[rows], pictures[rows], side)


def with_window(name):
    """transformers' own model, in eval mode, with the windows of :func:`config`."""
    model = type(tiny_vlms.build(name))(AutoConfig.for_model(**config(name))).eval()
    model.load_state_dict(tiny_vlms.build(name).state_dict())
    return model


def negative_log_likelihoods(name, batch):
    """Of the counted tokens of each sample, by the whole logits of transformers' own model."""
    labels = batch['labels']
    logits = with_window(name)(**batch).logits.detach()
    if not tiny_vlms.FAMILIES[name].encoder_decoder:
        logits, labels = logits[:, :-1], labels[:, 1:]
    log_probs = logits.float().log_softmax(-1)
    return [
        torch.stack([-log_probs[row, place, token] for place, token in enumerate(own.tolist()) if token != -100])
        for row, own in enumerate(labels)
    ]


@pytest.mark.parametrize('name', FAMILIES)
def test_losses_are_means_over_the_answers_tokens(folders, name):
    model, batch = build(folders, name), inputs(name)
    found = model(batch, samples(), mode='loss')['loss_vqa']
    nlls = negative_log_likelihoods(name, batch)
    assert len({len(own) for own in nlls}) > 1
    torch.testing.assert_close(found, torch.cat(nlls).mean(), rtol=1e-5, atol=1e-5)
    weights = (1.0, 0.0, 3.0)
    weighted = [BaseDataElement(task='mean', weight=weight) for weight in weights]
    expected = sum(weight * own.mean() for weight, own in zip(weights, nlls)) / 3
    torch.testing.assert_close(model(batch, weighted, mode='loss')['loss_mean'], expected, rtol=1e-5, atol=1e-5)
    plain = model(batch, samples(task='mean'), mode='loss')['loss_mean']
    torch.testing.assert_close(plain, sum(own.mean() for own in nlls) / 3, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', FAMILIES)
def test_answers_of_a_batch_are_those_of_its_samples(folders, name):
    model = build(folders, name).eval()
    whole = inputs(name, answers=None)
    for task in TASKS:
        field = 'pred_caption' if task == 'caption' else 'pred_answer'
        batched = [sample.get(field) for sample in model(whole, samples(task=task), mode='predict')]
        singles = [
            model(inputs(name, slice(row, row + 1), None), samples(1, task), mode='predict')[0].get(field)
            for row in range(3)
        ]
        assert batched == singles
        found = model.candidates(whole, model.tasks[task])
        assert [kept[0].text for kept in found] == batched
        assert all(kept == sorted(kept, key=lambda candidate: -candidate.score) for kept in found)


@pytest.mark.parametrize('name', FAMILIES)
def test_greedy_answers_are_the_likeliest_tokens_one_by_one_without_a_cache(folders, name):
    model = build(folders, name).eval()
    batch, family = inputs(name, slice(1, 2), None), tiny_vlms.FAMILIES[name]
    written, score = [], 0.0
    for _ in range(6):
        longer, labels = model.answers.behind(batch, [*written, 3], family.encoder_decoder)
        if family.encoder_decoder:
            start = family.geometry['text_config']['decoder_start_token_id']
            longer = dict(longer, decoder_input_ids=torch.tensor([[start, *written]]))
            logits = model.vlm(**longer, use_cache=False).logits[0, -1]
        else:
            more = dict(labels=labels) if name.startswith('paligemma') else {}
            logits = model.vlm(**longer, **more, use_cache=False).logits[0, -2]
        log_probs = logits.detach().log_softmax(-1)
        written.append(int(log_probs.argmax()))
        score += float(log_probs.max())
        if written[-1] in model.answers.ends(family.end):
            break
    found = model.candidates(batch, model.tasks['vqa'])[0][0]
    assert found.text == model.answers.texts(torch.tensor([written]))[0]
    assert found.score == pytest.approx(score / len(written), abs=1e-4)
    assert found.probability == pytest.approx(math.exp(score / len(written)), abs=1e-4)


@pytest.mark.parametrize('name', FAMILIES)
def test_choices_are_scored_by_what_a_loss_counts(folders, name):
    model = build(folders, name).eval()
    batch = inputs(name, slice(0, 1), None)
    for task in ('first', 'whole'):
        scores = {found.text: found.score for found in model.candidates(batch, model.tasks[task])[0]}
        assert list(scores) == sorted(scores, key=scores.get, reverse=True)
        shares = {found.text: found.probability for found in model.candidates(batch, model.tasks[task])[0]}
        total = sum(map(math.exp, scores.values()))
        assert shares == pytest.approx({text: math.exp(score) / total for text, score in scores.items()})
        for text, score in scores.items():
            (nll,) = negative_log_likelihoods(name, inputs(name, slice(0, 1), (text, '', '')))
            expected = -nll[0] if task == 'first' else -nll.sum()
            assert score == pytest.approx(float(expected), abs=1e-4)


def test_choices_that_begin_alike_are_told_apart_by_their_score_only(folders):
    tasks = {by: dict(choices=('red', 'red picture'), chosen_by=by) for by in ('first_token', 'score')}
    model = build(folders, tasks=tasks).eval()
    batch = inputs(answers=None)
    assert all(len(found) == 2 for found in model.candidates(batch, model.tasks['score']))
    with pytest.raises(ValueError, match="begin with the same token.*chosen_by='score'"):
        model.candidates(batch, model.tasks['first_token'])


def test_settings_of_decoding_in_a_geometry_are_not_taken(folders):
    geometry, batch = config('florence2'), inputs('florence2', answers=None)
    plain = build(folders, 'florence2').eval()
    expected = [sample.pred_answer for sample in plain(batch, samples(), mode='predict')]
    geometry['text_config'].update(forced_bos_token_id=7, no_repeat_ngram_size=1, num_beams=3)
    options = dict(processor=folders('florence2'), tasks=TASKS, dtype='float32', data_preprocessor=PLAIN)
    strange = ImageTextLM(model=geometry, **options).eval()
    strange.vlm.load_state_dict(plain.vlm.state_dict())
    assert [sample.pred_answer for sample in strange(batch, samples(), mode='predict')] == expected
    assert len(set(expected)) > 1


def test_the_frozen_model_has_no_dropout_unless_asked(folders):
    geometry = tiny_vlms.config('llava')
    geometry['text_config']['attention_dropout'] = 0.5
    for asked in (False, True):
        model = ImageTextLM(
            model=geometry,
            processor=folders('llava'),
            tasks=TASKS,
            dtype='float32',
            backbone_dropout=asked,
            adapter=dict(LORA, dropout=0.1),
            data_preprocessor=PLAIN,
        )
        model.vlm.load_state_dict(tiny_vlms.build('llava').state_dict())
        model.train()
        assert model.adapter.training and model.vlm.training is asked
        losses = {float(model(inputs(), samples(), mode='loss')['loss_vqa'].detach()) for _ in range(3)}
        assert (len(losses) > 1) is asked
    assert build(folders, trainable='all').train().vlm.training


@pytest.mark.parametrize(
    'options, expected',
    [
        (dict(adapter=LORA), {'adapter'}),
        (dict(trainable=['connectors']), {'vlm.model.multi_modal_projector'}),
        (dict(trainable=['norms', 'connectors'], adapter=LORA), None),
    ],
)
def test_what_is_declared_trains_and_nothing_else(folders, options, expected):
    model = build(folders, **options).train()
    model(inputs(), samples(), mode='loss')['loss_vqa'].backward()
    with_gradient = {name for name, param in model.named_parameters() if param.grad is not None}
    assert with_gradient <= model.declared and model.declared
    if expected is not None:
        assert with_gradient == model.declared and all(name.startswith(tuple(expected)) for name in model.declared)
    else:
        assert {model.role_of(name) for name in model.declared} >= {'layer_norm', 'connector'}


@pytest.mark.parametrize('name', ['llava', 'qwen2_5_vl'])
def test_checkpointing_gives_the_same_gradients(folders, name):
    gradients = []
    for towers in ((), ('vision', 'lm')):
        torch.manual_seed(0)
        adapter = dict(type='LoRA', rank=2, targets=dict(towers=['vision', 'lm']))
        model = build(folders, name, adapter=adapter, gradient_checkpointing=towers).train()
        torch.manual_seed(1)
        for param in model.adapter.parameters():
            param.data.normal_(0, 0.1)
        model(inputs(name), samples(), mode='loss')['loss_vqa'].backward()
        gradients.append({own: param.grad for own, param in model.named_parameters() if param.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 8
    for own, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][own], gradient, rtol=1e-5, atol=1e-7)


def test_it_can_be_counted_on_meta(folders):
    with torch.device('meta'):
        model = ImageTextLM(model=tiny_vlms.config('llava'), processor='nowhere', tasks=TASKS, adapter=LORA)
    assert all(param.is_meta for param in model.parameters())
    assert model.vlm.dtype is torch.bfloat16 and all(name.startswith('adapter.') for name in model.declared)


def test_bad_inputs_are_refused(folders):
    model = build(folders)
    with pytest.raises(ValueError, match='the inputs hold no labels, only'):
        model(inputs(answers=None), samples(), mode='loss')
    with pytest.raises(ValueError, match='hold labels, and so answers'):
        model(inputs(), samples(), mode='predict')
    silent = inputs()
    silent['labels'][1] = -100
    with pytest.raises(ValueError, match='sample_id 1: its labels count no token'):
        model(silent, samples(), mode='loss')
    with pytest.raises(ValueError, match='padded on the left'):
        model(tiny_vlms.batch('llava', answers=None, side='right'), samples(2), mode='predict')
    with pytest.raises(ValueError, match="modes 'loss', 'predict', 'candidates' and 'tensor', not 'train'"):
        model(inputs(), samples(), mode='train')
    with pytest.raises(ValueError, match='holds other'):
        model(inputs(), samples(task='other'), mode='loss')
    assert model(inputs(), samples(), mode='tensor').shape[2] == tiny_vlms.VOCABULARY


def test_a_mask_that_needs_token_types_gets_them(folders):
    batch = inputs('paligemma')
    del batch['token_type_ids']
    with pytest.raises(ValueError, match='PaliGemmaForConditionalGeneration tells answers.* by token_type_ids'):
        build(folders, 'paligemma')(batch, samples(), mode='loss')


@pytest.mark.parametrize('task', TASKS)
def test_logits_that_are_not_finite_are_no_answer(folders, task):
    model, batch = build(folders).eval(), inputs(answers=None)
    batch['pixel_values'][1] = float('nan')
    with pytest.raises(NonFiniteError, match='sample_id 1'):
        model(batch, samples(task=task), mode='predict')


def test_bad_settings_are_refused(folders):
    with pytest.raises(ValueError, match=r"model_type; write dict\(model_type='llava'"):
        ImageTextLM(model=dict(hidden_size=3), processor='x', tasks={}, data_preprocessor=PLAIN)
    with pytest.raises(ValueError, match="'bert' is no image-text-to-text model"):
        ImageTextLM(model=dict(model_type='bert'), processor='x', tasks={}, data_preprocessor=PLAIN)
    with pytest.raises(ValueError, match='processor=… must name'):
        ImageTextLM(model=tiny_vlms.config('llava'), tasks={}, data_preprocessor=PLAIN)
    with pytest.raises(ValueError, match=r"chosen_by='last'; choose from"):
        build(folders, tasks=dict(vqa=dict(chosen_by='last')))
    with pytest.raises(ValueError, match='leaves nothing to choose'):
        build(folders, tasks=dict(vqa=dict(choices=('yes', 'yes'))))
    with pytest.raises(SiteError, match='side by side'):
        build(folders, REFUSED)


@pytest.mark.parametrize('name', FAMILIES)
def test_in_bfloat16_it_trains_and_answers(folders, name):
    model = build(folders, name, dtype='bfloat16', adapter=dict(type='LoRA', rank=2, targets={}), trainable=['norms'])
    formats = {key: param.dtype for key, param in model.named_parameters()}
    assert {formats[key] for key in formats.keys() - model.declared} == {torch.bfloat16}
    # A norm that is the first weight of a model in the model, such as Q-Former's, tells the format of its masks.
    half = [key for key in model.declared if formats[key] is torch.bfloat16]
    assert len(half) <= 2 if name in ('blip2_opt', 'blip2_t5', 'llava_dinov2') else not half
    optimizer = torch.optim.AdamW([param for param in model.parameters() if param.requires_grad], lr=1e-4)
    before = {key: param.detach().clone() for key, param in model.named_parameters() if key in model.declared}
    loss = model.train()(inputs(name), samples(), mode='loss')['loss_vqa']
    expected = torch.cat(negative_log_likelihoods(name, inputs(name))).mean()
    assert loss.dtype is torch.float32
    torch.testing.assert_close(loss.detach(), expected, rtol=0.15, atol=0.05)
    loss.backward()
    optimizer.step()
    # Steps of 1e-4 would be lost in gains of 1 with 8 bits.
    moved = [key for key, param in model.named_parameters() if key in before and not torch.equal(param, before[key])]
    assert any('norm' in key for key in moved) and any(key.startswith('adapter.') for key in moved)
    batched = [found.pred_answer for found in model.eval()(inputs(name, answers=None), samples(), mode='predict')]
    assert len(batched) == 3


@pytest.mark.parametrize('name', ['llava', 'qwen2_5_vl', 'idefics3', 'gemma3', 'mistral3'])
def test_several_images_and_none_in_one_batch(folders, name):
    model = build(folders, name).eval()
    pictures = [[tiny_vlms.picture(1), tiny_vlms.picture(2)], [], [tiny_vlms.picture(3)]]
    batch = tiny_vlms.batch(name, QUESTIONS, ANSWERS, pictures)
    found = model(batch, samples(task='mean'), mode='loss')['loss_mean']
    singles = [
        model(tiny_vlms.batch(name, (question,), (answer,), [shown]), samples(1, 'mean'), mode='loss')['loss_mean']
        for question, answer, shown in zip(QUESTIONS, ANSWERS, pictures)
    ]
    torch.testing.assert_close(found, sum(singles) / 3, rtol=1e-4, atol=1e-4)
    prompts = tiny_vlms.batch(name, QUESTIONS, None, pictures, 'left')
    answers = [sample.pred_answer for sample in model(prompts, samples(), mode='predict')]
    for row, (question, shown) in enumerate(zip(QUESTIONS, pictures)):
        single = tiny_vlms.batch(name, (question,), None, [shown], 'left')
        assert model(single, samples(1), mode='predict')[0].pred_answer == answers[row]


@pytest.mark.parametrize('name', ['qwen2_5_vl', 'llava_onevision', 'smolvlm'])
def test_turns_and_videos_as_conversations_have_them(folders, name):
    model, processor = build(folders, name).eval(), tiny_vlms.loaded_processor(name)
    frames = np.random.default_rng(0).integers(0, 256, (4, tiny_vlms.SIDE, tiny_vlms.SIDE, 3), dtype=np.uint8)
    turns = [
        dict(role='user', content=[dict(type='video'), dict(type='text', text='what is it ?')]),
        dict(role='assistant', content=[dict(type='text', text='a red picture')]),
        dict(role='user', content=[dict(type='text', text='is it blue ?')]),
        dict(role='assistant', content=[dict(type='text', text='no')]),
    ]
    shot = dict(fps=2.0, total_num_frames=4, frames_indices=[0, 1, 2, 3], duration=2.0)
    known = dict(do_sample_frames=False, video_metadata=[shot])
    rows = [
        encode(processor, render_template(processor, said), videos=[frames], options=dict(videos_kwargs=known))
        for said in (turns, turns[:2])
    ]
    batch = join(rows, tiny_vlms.PAD)
    found = model(batch, samples(2, 'mean'), mode='loss')['loss_mean']
    singles = [model(join([row], tiny_vlms.PAD), samples(1, 'mean'), mode='loss')['loss_mean'] for row in rows]
    torch.testing.assert_close(found, sum(singles) / 2, rtol=1e-4, atol=1e-4)
    # Of all turns of the assistant: each answer and its end.
    counted = [int((row['labels'] != -100).sum()) for row in rows]
    assert counted[0] > counted[1] > 1
