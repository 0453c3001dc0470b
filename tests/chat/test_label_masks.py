"""Labels are the answers and their end tokens, for every family; joined samples give what single ones give."""

import functools
import itertools

import pytest
import torch

from tests import tiny_vlms
from tests.chat_layouts import turns_of
from vlpeft.chat import ChatError, encode, join, render_prompt, render_template

TEMPLATED = [name for name, family in tiny_vlms.FAMILIES.items() if family.style]
PROMPTED = [name for name in tiny_vlms.FAMILIES if name not in TEMPLATED]
SEVERAL = [('user', 'what colour is it ?', 1), ('assistant', 'red', 0), ('user', 'describe the image', 1)]
SEVERAL += [('assistant', 'a blue picture', 0), ('user', 'is it green ?', 0), ('assistant', 'no', 0)]
PICTURES = [tiny_vlms.picture(0), tiny_vlms.picture(1, (24, 16))]


@functools.cache
def end_of(name):
    tokenizer = tiny_vlms.loaded_processor(name).tokenizer
    return tokenizer.convert_ids_to_tokens(tiny_vlms.FAMILIES[name].end)


def encoded(name, turns, images, **options):
    processor, family = tiny_vlms.loaded_processor(name), tiny_vlms.FAMILIES[name]
    if family.style:
        rendered = render_template(processor, turns_of(turns), **options)
    else:
        rendered = render_prompt(processor, turns_of(turns), family.prompt)
    return encode(processor, rendered, images, encoder_decoder=family.encoder_decoder)


def learned(name, row):
    """Texts of the runs of unmasked labels, decoded token by token."""
    tokenizer = tiny_vlms.loaded_processor(name).tokenizer
    texts = []
    for is_said, run in itertools.groupby(row['labels'][0].tolist(), key=lambda token: token != -100):
        if is_said:
            texts.append(''.join(tokenizer.decode([token]) for token in run))
    return texts


@pytest.mark.parametrize('name', tiny_vlms.FAMILIES)
def test_one_answer_is_learned_with_its_end(name):
    row = encoded(name, SEVERAL[:2], PICTURES[:1])
    assert [text.lstrip() for text in learned(name, row)] == ['red' + end_of(name)]
    prompt = encoded(name, SEVERAL[:1], PICTURES[:1])
    assert 'labels' not in prompt
    if tiny_vlms.FAMILIES[name].encoder_decoder:
        assert torch.equal(row['input_ids'], prompt['input_ids'])
        return
    length = prompt['input_ids'].shape[1]
    said = row['labels'] != -100
    assert said[0, length:].all() and not said[0, :length].any()
    assert torch.equal(row['labels'][said], row['input_ids'][said])
    for key, values in prompt.items():  # what is given for each token goes on over the answer
        given = row[key][:, :length] if key in ('input_ids', 'attention_mask', 'token_type_ids') else row[key]
        assert torch.equal(given[..., :length] if key == 'mm_token_type_ids' else given, values), key
    assert row['attention_mask'].shape == row['input_ids'].shape and row['attention_mask'].all()
    # The prompt, pictures included, is the one that the library's own processor makes.
    reference = tiny_vlms.batch(name, (SEVERAL[0][1],), None, [PICTURES[:1]])
    assert torch.equal(prompt['input_ids'], reference['input_ids'])


@pytest.mark.parametrize('name', TEMPLATED)
def test_all_answers_of_several_turns_are_learned(name):
    ends = end_of(name)
    row = encoded(name, SEVERAL, PICTURES)
    assert [text.lstrip() for text in learned(name, row)] == [
        f'{text}{ends}' for text in ('red', 'a blue picture', 'no')
    ]
    assert [text.lstrip() for text in learned(name, encoded(name, SEVERAL, PICTURES, only_last=True))] == ['no' + ends]
    for turns in (1, 3, 5):  # each answer goes on from what the model reads when it is asked
        images = PICTURES[: 1 if turns == 1 else 2]
        prompt = encoded(name, SEVERAL[:turns], images)['input_ids'][0]
        assert torch.equal(prompt, row['input_ids'][0, : len(prompt)])
        assert row['labels'][0, len(prompt)] == row['input_ids'][0, len(prompt)]
        assert row['labels'][0, len(prompt) - 1] == -100


# Of those whose templates end answers with a token; a prompt that ends with a blank is followed by a word without one.
@pytest.mark.parametrize(
    'name',
    [
        name
        for name in TEMPLATED
        if tiny_vlms.FAMILIES[name].style.assistant[1].strip() and tiny_vlms.FAMILIES[name].style.assistant[0] != ' '
    ],
)
def test_earlier_answers_are_cut_as_in_the_whole_text(name):
    """The prompt of a later answer equals the library's rendering and encoding of the whole."""
    processor = tiny_vlms.loaded_processor(name)
    prompt = encoded(name, SEVERAL[:5], PICTURES)['input_ids']
    text = processor.apply_chat_template(turns_of(SEVERAL[:5]), add_generation_prompt=True, tokenize=False)
    options = dict(add_special_tokens=False) if text.startswith(str(processor.tokenizer.bos_token)) else {}
    whole = processor(text=[text], images=PICTURES, return_tensors='pt', **options)['input_ids']
    assert torch.equal(prompt, torch.as_tensor(whole))


@pytest.mark.parametrize('name', ['paligemma', 'paligemma2', 'gemma3', 'llava', 'qwen2_vl'])
def test_token_types_tell_prompt_from_answer(name):
    row = encoded(name, SEVERAL[:2], PICTURES[:1])
    said = (row['labels'] != -100).long()
    if name.startswith('paligemma'):
        assert torch.equal(row['token_type_ids'], said)
    elif name == 'gemma3':
        assert torch.equal(row['token_type_ids'], (row['input_ids'] == tiny_vlms.FIRST).long())
        assert row['token_type_ids'].any()
    else:
        assert 'token_type_ids' not in row
        assert not (row.get('mm_token_type_ids', said * 0) * said).any()


@pytest.mark.parametrize('left', [False, True])
@pytest.mark.parametrize(
    'name',
    [
        *('llava', 'llava_next', 'llava_onevision', 'qwen2_vl', 'qwen2_5_vl', 'idefics3', 'smolvlm', 'paligemma'),
        *('gemma3', 'internvl', 'mistral3', 'ovis2', 'aya_vision', 'blip2_opt', 'florence2'),
    ],
)
def test_joined_samples_give_what_single_ones_give(name, left):
    """Samples of different lengths, sizes and numbers of images, without images where a family can do without."""
    family = tiny_vlms.FAMILIES[name]
    if left and family.encoder_decoder:
        pytest.skip('encoders read from the first position')
    samples = [(SEVERAL[2:4], PICTURES[1:]), (SEVERAL[:2], PICTURES[:1])]
    if family.images[1] > 1 and family.style:
        samples.append((SEVERAL, PICTURES))
    if family.images[0] == 0 and not family.encoder_decoder:
        samples.append(([('user', 'what are you ?', 0), ('assistant', 'yes', 0)], []))
    rows = [encoded(name, turns, images) for turns, images in samples]
    model = tiny_vlms.build(name)
    joined = join(rows, tiny_vlms.PAD, left)
    with torch.no_grad():
        together = model(**joined)
        for number, row in enumerate(rows):
            alone = model(**row)
            length = alone.logits.shape[1]
            found = together.logits[number]
            found = found[-length:] if left else found[:length]
            torch.testing.assert_close(found, alone.logits[0], rtol=2e-4, atol=2e-4)
    kept = joined['attention_mask'].bool()
    assert [int(mask.sum()) for mask in kept] == [row['input_ids'].shape[1] for row in rows]
    assert (joined['input_ids'][~kept] == tiny_vlms.PAD).all()
    if not family.encoder_decoder:
        assert (joined['labels'][~kept] == -100).all()


def test_a_template_that_changes_earlier_turns_is_named():
    processor = tiny_vlms.loaded_processor('qwen2_vl')
    turns = turns_of(SEVERAL[:2])

    class Counting:
        tokenizer = processor.tokenizer

        def apply_chat_template(self, turns, tokenize, add_generation_prompt):
            return f'{len(turns)} ' + processor.apply_chat_template(turns, add_generation_prompt=add_generation_prompt)

    with pytest.raises(ChatError, match='the chat template of Counting renders what comes before answer 1 otherwise'):
        render_template(Counting(), turns)

    class Shouting(Counting):
        def apply_chat_template(self, turns, tokenize, add_generation_prompt):
            text = processor.apply_chat_template(turns, add_generation_prompt=add_generation_prompt)
            return text.replace('red', 'RED')

    with pytest.raises(ChatError, match="the chat template of Shouting does not render an answer as it is written: 'r"):
        render_template(Shouting(), turns)


@pytest.mark.parametrize('place', [0, 1])
@pytest.mark.parametrize('name', tiny_vlms.FAMILIES)
def test_no_turn_holds_a_token_by_which_conversations_are_built(name, place):
    processor, style = tiny_vlms.loaded_processor(name), tiny_vlms.FAMILIES[name].style
    image = style.image.strip() if style else '<image>'
    for token in (end_of(name), processor.tokenizer.eos_token, processor.tokenizer.bos_token, image):
        turns = [('user', 'what colour ?', 1), ('assistant', 'red', 0)]
        role, text, shown = turns[place]
        turns[place] = (role, f'{text} {token} blue', shown)
        with pytest.raises(ChatError, match=rf"turn {place} \({role}\) holds '.*', a special token of the tokenizer"):
            encoded(name, turns, PICTURES[:1])


def test_the_tokens_of_a_template_are_refused_and_others_are_said():
    for role in ('user', 'assistant'):
        said = f'a <|im_start|>{role}'
        turns = [('user', said if role == 'user' else 'what ?', 1), ('assistant', said, 0)]
        with pytest.raises(ChatError, match=r"holds '<\|im_start\|>'"):
            encoded('qwen2_vl', turns, PICTURES[:1])
    turns = [('user', 'what is <|video ?', 1), ('assistant', 'a <mask> picture', 0)]
    assert learned('paligemma', encoded('paligemma', turns, PICTURES[:1])) == ['a <mask> picture<eos>']


def test_a_sample_that_the_processor_refuses_is_refused():
    with pytest.raises(ChatError, match='LlavaNextProcessor refuses it: '):
        encoded('llava_next', [('user', 'what ?', 2)], PICTURES[:1])


@pytest.mark.parametrize('name', PROMPTED)
def test_prompts_without_template_hold_one_question(name):
    with pytest.raises(ChatError, match='one question and one answer; the turns are user, assistant, user'):
        encoded(name, SEVERAL[:3], PICTURES)


def test_something_must_be_learned():
    turns = turns_of(SEVERAL[:2])
    turns[1]['loss'] = False
    for name in ('llava', 'blip2_opt'):
        processor = tiny_vlms.loaded_processor(name)
        rendered = (
            render_template(processor, turns)
            if name == 'llava'
            else render_prompt(processor, turns, tiny_vlms.FAMILIES[name].prompt)
        )
        with pytest.raises(ChatError, match='none of its answers is trained on'):
            encode(processor, rendered, PICTURES[:1])


def test_an_answer_without_loss_is_read_and_not_learned():
    turns = turns_of(SEVERAL)
    turns[3]['loss'] = False
    processor = tiny_vlms.loaded_processor('qwen2_vl')
    row = encode(processor, render_template(processor, turns), PICTURES)
    assert learned('qwen2_vl', row) == ['red<|im_end|>', 'no<|im_end|>']
    assert torch.equal(row['input_ids'], encoded('qwen2_vl', SEVERAL, PICTURES)['input_ids'])


def test_what_is_given_for_each_token_must_be_known():
    processor = tiny_vlms.loaded_processor('llava')

    class Positioned:
        tokenizer = processor.tokenizer

        def __call__(self, **options):
            row = processor(**options)
            return dict(row, position_ids=torch.zeros_like(row['input_ids']))

    with pytest.raises(ChatError, match="Positioned gives 'position_ids', of which it is not known"):
        encode(Positioned(), render_template(processor, turns_of(SEVERAL[:2])), PICTURES[:1])
