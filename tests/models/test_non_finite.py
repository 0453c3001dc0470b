"""Scores that are not finite end an evaluation at the first sample, in every task model and in the retrieval loop."""

import pickle

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests import tiny, tiny_epalm, tiny_vl
from tests.workspace import write_workspace
from vlpeft.engine.run_config import RunConfig
from vlpeft.evaluation.metrics import CaptionMetric, OpenEndedMetric, RetrievalMetric
from vlpeft.models.decoding import beam_search
from vlpeft.models.finite import NonFiniteError, check_finite, naming

NAN, INF = float('nan'), float('inf')


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory):
    return tiny.write_vocabulary(tmp_path_factory.mktemp('bert') / 'vocabulary')


@pytest.mark.parametrize('value', [NAN, INF, -INF])
def test_the_first_row_is_named(value):
    scores = torch.zeros(6, 2, 3)
    check_finite('scores', scores)
    scores[4, 1, 2] = scores[5, 0, 0] = value
    for rows, first in ((1, 4), (2, 2), (3, 1)):
        with pytest.raises(NonFiniteError, match=f'^row {first} of the batch: scores are not finite') as caught:
            check_finite('scores', scores, rows)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(NonFiniteError, match='^c: scores'), naming(['a', 'b', 'c']):
        check_finite('scores', scores, 2)


@pytest.mark.parametrize('inference', ['rank', 'generate'])
@pytest.mark.parametrize('value', [NAN, INF])
def test_a_question_answerer_never_answers_from_nan(vocabulary, inference, value):
    """Of an all-NaN model, argmax took the first, most frequent answer, which is right for 64 % of the questions."""
    model = tiny.build_vqa(vocabulary=vocabulary, inference=inference)
    model.set_answer_list(['red', 'green', 'big circle'])
    clips, samples = tiny.random_questions()
    model(clips, samples, mode='predict')
    broken = clips.clone()
    broken[1] = value
    with pytest.raises(NonFiniteError, match='^question_id 1, clip_id 1: logits of the .* token are not finite'):
        model(broken, samples, mode='predict')
    with torch.no_grad():
        model.vision.patch_embed.projection.weight.fill_(value)
    with pytest.raises(NonFiniteError, match='^question_id 0'):
        model(clips, samples, mode='predict')


def test_a_likelihood_behind_the_first_token_counts_too(vocabulary):
    model = tiny.build_vqa(vocabulary=vocabulary)
    model.set_answer_list(['red', 'big circle'])
    clips, samples = tiny.random_questions()
    with torch.no_grad():  # the start token stands at position 0
        model.decoder.bert.embeddings.position_embeddings.weight[1] = NAN
    with pytest.raises(NonFiniteError, match='^question_id 0, clip_id 0: log-likelihoods of the answers'):
        model(clips, samples, mode='predict')


@pytest.mark.parametrize('task', ['vqa', 'caption', 'nlvr2'])
@pytest.mark.parametrize('family', ['bart', 't5'])
@pytest.mark.parametrize('beams', [1, 3])
def test_a_text_generator_never_answers_from_nan(tmp_path, family, task, beams):
    model = tiny_vl.build_vl(family, tiny_vl.write_tokenizer(tmp_path / family, family))
    model.tasks[task].generation.setdefault('num_beams', beams)
    features, samples = tiny_vl.random_samples(task, images=2 if task == 'nlvr2' else 1)
    for number, sample in enumerate(samples):
        sample.set_field(f'{number}.jpg', 'name')
    model(features, samples, mode='predict')
    features[2] = NAN
    with pytest.raises(NonFiniteError, match="name '2.jpg': logits of the"):
        model(features, samples, mode='predict')


@pytest.mark.parametrize('beams', [1, 3])
def test_a_perceptual_model_never_answers_from_nan(tmp_path, beams):
    tasks = dict(vqa=dict(max_new_tokens=5, num_beams=beams))
    model = tiny_epalm.build_perceptual(vocabulary=tiny_epalm.write_vocabulary(tmp_path / 'opt'), tasks=tasks)
    samples = tiny_epalm.random_samples(question_id=[7, 8, 9])
    vectors = tiny_epalm.random_vectors(model)
    model(vectors, samples, mode='predict')
    vectors[1] = NAN
    with pytest.raises(NonFiniteError, match='^question_id 8: logits of the next token'):
        model(vectors, samples, mode='predict')


def test_a_search_may_rule_tokens_out():
    logits = torch.tensor([[-INF, 1.0, 0.5]])
    (found,) = beam_search(lambda ids, origin: logits.expand(len(ids), -1), torch.tensor([[0]]), 1, 2, 4)
    assert found[0].ids == [1, 1, 1]


@pytest.mark.parametrize(
    'k_test, part, what',
    [
        (0, 'clips', 'features of the clip'),
        (4, 'clips', 'features of the clip'),
        (0, 'texts', 'features of its captions'),
        (4, 'itm_head', 'match logits'),
    ],
)
def test_retrieval_names_the_first_clip(tmp_path, monkeypatch, k_test, part, what):
    """R@1 = 0.0 was reported."""
    config = RunConfig.read(write_workspace(tmp_path / 'work'))
    config.merge_from_dict(dict(work_dir=str(tmp_path / 'run'), experiment_name=f'{part} {k_test}'))
    config.test_cfg.k_test = k_test
    runner = Runner.from_cfg(config)
    model, extract = runner.model, type(runner.model).extract

    def broken(clips, samples):
        out = extract(model, clips, samples)
        for number, clip in enumerate(out['clip_ids']):
            if clip in (2, 5) and part == 'clips':
                out['features'][number] = NAN
        for number, text in enumerate(out['text_ids']):
            if text in (4, 5) and part == 'texts':  # both of clip 2
                out['text_features'][number] = INF
        return out

    monkeypatch.setattr(model, 'extract', broken)
    if part == 'itm_head':
        with torch.no_grad():
            next(model.itm_head.parameters()).fill_(NAN)
    clip = 0 if part == 'itm_head' else 2
    with pytest.raises(NonFiniteError, match=f"^clip_id {clip}, name 'clip{clip}.mp4': {what} are not finite"):
        runner.test()


def test_metrics_refuse_scores_that_are_not_finite():
    with pytest.raises(ValueError, match='t2v query 3 has scores that are not finite'):
        RetrievalMetric().process(None, [dict(direction='t2v', query_id=3, rank=1, top=[(0, NAN)])])

    class Broken(OpenEndedMetric):
        def score(self, prediction, gold):
            return NAN

    with pytest.raises(ValueError, match="Broken: the score of question 'q' is nan; look at its 'gold'"):
        Broken().process(None, [dict(question_id='q', pred_answer='a', gold=['a'])])

    class Mean(OpenEndedMetric):
        def compute_metrics(self, results):
            return dict(accuracy=INF, kind='text')

    metric = Mean()
    metric.process(None, [dict(question_id='q', pred_answer='a', gold=['a'])])
    with pytest.raises(ValueError, match=r"Mean: accuracy=inf of 1 samples, the first of them {'question_id': 'q'"):
        metric.evaluate(1)


@pytest.mark.parametrize('count, warns', [(49, True), (50, False)])
def test_cider_of_few_captions_warns(caplog, count, warns):
    metric = CaptionMetric(tokenizer='python')
    metric.process(
        None, [dict(sample_id=i, pred_caption=f'a dog {i}', references=[f'a dog {i}']) for i in range(count)]
    )
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        metric.evaluate(count)
    finally:
        logger.removeHandler(caplog.handler)
    assert (f'CIDEr of only {count} captions' in caplog.text) == warns
