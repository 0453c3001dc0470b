"""The page in headless Chromium: what is typed, uploaded and pressed, and what is seen then."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from tests.browser import PHONE, needs_chromium, open_page, too_wide
from tests.demo.demo_models import served, write_models
from tests.media import write_image
from vlpeft.demo.assemble import build_tabs
from vlpeft.demo.sources import choose_sources

pytest.importorskip('gradio')
from vlpeft.demo.page import build_page

pytestmark = needs_chromium
QUERY = 'the blue square moves up'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """(address, tabs, folder, answerer) of a page with all tabs."""
    root = tmp_path_factory.mktemp('demo')
    given, answerer = write_models(root)
    tabs = build_tabs(choose_sources(**given)[0], 'cpu')
    with served(tabs, {}) as address:
        yield address, tabs, root, answerer


def files_in(side):
    return [re.sub(r'^\d+\. ', '', name) for name in side.locator('.vl-line span:first-child').all_inner_texts()]


def scores_in(side):
    return side.locator('.vl-line span:last-child').all_inner_texts()


def sides(panel, titles):
    """The columns by their title, as a screen reader names them."""
    return [panel.get_by_role('region', name=title) for title in titles]


def test_a_query_shows_what_the_inferencer_finds_with_and_without_its_adapter(place):
    address, tabs, _, _ = place
    with open_page(address) as page:
        page.get_by_label('What to look for').fill(QUERY)
        page.keyboard.press('Enter')
        panel = page.get_by_role('tabpanel')
        off, on = sides(panel, ['Base alone', 'With UniAdapter'])
        expect(on.locator('video')).to_have_count(4)
        finder = tabs['search'].inferencer
        for side, adapter in ((off, None), (on, 'default')):
            expected = finder.search(QUERY, top=4, adapter=adapter)
            assert files_in(side) == [os.path.basename(item.path) for item in expected]
            assert scores_in(side) == [f'{item.score:.2f}' for item in expected]
        assert scores_in(off) != scores_in(on)
        first = on.locator('video').first
        page.wait_for_function('clip => clip.currentTime > 0', arg=first.element_handle())
        on.get_by_role('button').first.press('Enter')
        assert first.evaluate('clip => clip.paused')


def test_an_example_of_a_query_is_clicked_and_its_clips_are_marked(place):
    address, _, root, _ = place
    with open_page(address) as page:
        button = page.locator('#tab-search .vl-examples button').last
        text = button.inner_text()
        button.click()
        expect(page.locator('#found .vl-clip')).to_have_count(8)
        assert page.get_by_label('What to look for').input_value() == text
        lines = (root / 'retriever/data/test.jsonl').read_text().splitlines()
        described = {record['video'] for record in map(json.loads, lines) if text in record['caption']}
        shown = page.locator('#found .vl-clip').all()
        marks = {(files_in(clip)[0], clip.get_by_text('described by this text').count()) for clip in shown}
        assert described and marks == {(name, int(name in described)) for name, _ in marks}


def test_what_cannot_be_searched_and_unknown_words_are_told_in_one_line(place):
    address, _, _, _ = place
    with open_page(address) as page:
        found, query = page.locator('#found'), page.get_by_label('What to look for')
        for text, said in (
            ('   ', 'Type what to look for.'),
            ('zyxq wvut', 'knows no word of the text'),
            ('<img src=x onerror=alert(1)> {{7*7}} ${7*7}', '<img src=x onerror=alert(1)> {{7*7}} ${7*7}'),
        ):
            query.fill(text)
            query.press('Enter')
            expect(found).to_contain_text(said)
            assert found.locator('p').count() == 1 and found.locator('img, video').count() == 0
        query.fill('a red zyxq')
        page.get_by_role('button', name='Search', exact=True).click()
        expect(found).to_contain_text('The model does not know: zyxq. The results answer the other words alone.')
        expect(found.locator('.vl-clip')).to_have_count(8)


def test_questions_about_an_upload_and_an_example_are_answered_as_by_the_inferencer(place, tmp_path):
    address, tabs, _, answerer = place
    photo = write_image(tmp_path / 'my photo.png', seed=7)
    with open_page(address) as page:
        page.get_by_role('tab', name='Ask').click()
        panel = page.locator('#tab-ask')
        panel.locator('input[type=file]').set_input_files(photo)
        expect(panel.get_by_alt_text('my photo.png')).to_be_visible()
        page.get_by_label('Question').fill('who is it?')
        page.keyboard.press('Enter')
        off, on = sides(panel, ['Base alone', 'With EPALM'])
        expect(on.locator('.vl-answer')).to_have_count(1)
        for side, adapter in ((off, None), (on, 'default')):
            expected = tabs['ask'].inferencer(photo, 'who is it?', scores=True, adapter=adapter)
            expect(side.locator('.vl-answer')).to_have_text(expected.answer or '(nothing)')
            expect(side.locator('.vl-score')).to_have_text(f'score {expected.score:.3f}')
        assert off.inner_text().split('\n')[1:] != on.inner_text().split('\n')[1:]
        # An example brings its picture, its question and what is right.
        row, name = answerer.rows[-2], os.path.basename(answerer.files[-2])
        panel.get_by_role('button', name=row['question']).click()
        expect(panel.locator('.vl-truth')).to_have_text(f'Answer of the test data: {row["answer"]}')
        assert page.get_by_label('Question').input_value() == row['question']
        expect(panel.get_by_alt_text(name)).to_be_visible()
        page.get_by_label('Question').fill('where?')
        page.keyboard.press('Enter')
        expect(panel.locator('.vl-truth')).to_have_count(0)
        expect(panel.locator('.vl-answer')).to_have_count(2)


def test_a_caption_is_the_inferencer_s(place):
    address, tabs, _, answerer = place
    path = answerer.files[1]
    with open_page(address) as page:
        page.get_by_role('tab', name='Caption').click()
        panel = page.locator('#tab-caption')
        page.get_by_role('button', name='Describe').click()
        expect(panel.locator('.vl-hint')).to_have_text('Choose an example, or a file of your own.')
        panel.locator('input[type=file]').set_input_files(path)
        expect(panel.get_by_alt_text('1.png')).to_be_visible()
        page.get_by_role('button', name='Describe').click()
        off, on = sides(panel, ['Base alone', 'With EPALM'])
        for side, adapter in ((off, None), (on, 'default')):
            expected = tabs['caption'].inferencer(path, adapter=adapter).caption
            expect(side.locator('.vl-answer')).to_have_text(expected or '(nothing)')


def test_files_that_cannot_be_used_are_one_line_each_and_the_page_goes_on(place, tmp_path):
    address, tabs, _, answerer = place
    with open_page(address) as page:
        page.get_by_role('tab', name='Ask').click()
        panel, question = page.locator('#tab-ask'), page.get_by_label('Question')
        for name, content, said in (
            ('broken.mp4', b'\0' * 2000, 'broken.mp4: '),
            ('empty.png', b'', 'empty.png: the file is empty'),
            ('notes.txt', b'hello', 'notes.txt: neither an image, a video nor a sound by its suffix; this model takes'),
            ('song.mp3', b'ID3', 'song.mp3: a sound; this model takes images and videos'),
            ('page.png', b'<html><script>alert(1)</script></html>', 'page.png: '),
        ):
            (tmp_path / name).write_bytes(content)
            panel.locator('input[type=file]').set_input_files(tmp_path / name)
            line = panel.get_by_role('alert')
            expect(line).to_contain_text(said)
            text = line.inner_text()
            assert text.startswith(said) and not re.search(r'\n|Traceback|/tmp', text)
            asked = tabs['ask'].respond(str(tmp_path / name), answerer.rows[0]['question'])
            assert asked == tabs['ask'].look(str(tmp_path / name))[1] != '', 'asking says the same'
            panel.get_by_label('Clear').click()
            expect(line).to_have_count(0)
        panel.locator('input[type=file]').set_input_files(answerer.files[0])
        expect(panel.get_by_alt_text('0.png')).to_be_visible()
        question.fill(answerer.rows[0]['question'])
        question.press('Enter')
        expect(panel.locator('.vl-answer')).to_have_count(2)
        assert panel.locator('.vl-problem').count() == 0


@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
def test_a_phone_shows_all_tabs_without_scrolling_sideways(place, dark):
    address, _, _, _ = place
    with open_page(address, PHONE, dark) as page:
        expect(page.locator('body.dark')).to_have_count(int(dark))
        page.locator('#tab-search .vl-examples button').first.click()
        expect(page.locator('#found .vl-clip')).to_have_count(8)
        assert too_wide(page) == 0
        off, on = (side.bounding_box() for side in page.locator('#found .vl-side').all())
        assert on['y'] >= off['y'] + off['height'] and on['x'] == off['x']
        for tab, result in () if dark else (('Ask', '#answers'), ('Caption', '#captions')):
            page.get_by_role('tab', name=tab).click()
            page.locator(f'#tab-{tab.lower()} .vl-examples button').first.click()
            expect(page.locator(f'{result} .vl-side')).to_have_count(2)
            assert too_wide(page) == 0


def test_two_visitors_at_once_get_what_one_alone_gets(place):
    _, tabs, _, answerer = place
    ask, path = tabs['ask'].respond, answerer.files[2]
    alone = {question: ask(path, question) for question in ('who?', 'what?', 'is it red?')}
    assert len(set(alone.values())) == 3
    with ThreadPoolExecutor(6) as pool:
        asked = list(alone) * 6
        assert list(pool.map(lambda question: ask(path, question), asked)) == [alone[question] for question in asked]


def test_a_tab_without_a_model_names_the_command():
    commands = dict(search='one', ask='bash tools/quickstart.sh questions', caption='<three>')
    shown = [block['props'].get('value') for block in build_page({}, commands).get_config_file()['components']]
    for command in ('one', 'bash tools/quickstart.sh questions', '&lt;three&gt;'):
        assert f'<p class="vl-missing">No model here. This makes one: <code>{command}</code></p>' in shown
