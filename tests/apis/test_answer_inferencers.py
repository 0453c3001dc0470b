"""VQAInferencer and CaptionInferencer against the loop of tools/test.py, for every model that answers or describes."""

import pytest

from tests.apis.tiny_answerers import KINDS, write_answerer
from vlpeft import CaptionInferencer, VQAInferencer


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
