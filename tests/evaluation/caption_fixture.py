"""captions.json: texts with the tokens and scores that pycocoevalcap and Java give them.

The texts in the file are written by hand. Where there is Java, this writes their tokens and scores anew:
python -m tests.evaluation.caption_fixture
"""

import json
import shutil
from pathlib import Path

import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

FILE = Path(__file__).with_name('captions.json')
needs_java = pytest.mark.skipif(shutil.which('java') is None, reason='no command java')


def load():
    return json.loads(FILE.read_text(encoding='utf-8'))


def coco_caption(predictions, references):
    """Tokens of predictions and references, and scores times 100, by nothing but pycocoevalcap."""
    found = PTBTokenizer().tokenize({i: [dict(caption=text)] for i, text in enumerate(predictions)})
    wanted = PTBTokenizer().tokenize({i: [dict(caption=text) for text in group] for i, group in enumerate(references)})
    scores = {f'BLEU-{n}': score for n, score in enumerate(Bleu(4).compute_score(wanted, found, verbose=0)[0], 1)}
    for name, scorer in (('METEOR', Meteor()), ('ROUGE-L', Rouge()), ('CIDEr', Cider())):
        scores[name] = scorer.compute_score(wanted, found)[0]
    tokens = [dict(prediction=found[i][0], references=wanted[i]) for i in range(len(predictions))]
    return tokens, {name: 100 * float(score) for name, score in scores.items()}


def write():
    texts = load()['texts']
    tokens, scores = coco_caption([item['prediction'] for item in texts], [item['references'] for item in texts])
    FILE.write_text(dump(texts, tokens, scores), encoding='utf-8')


def dump(texts, tokens, scores):
    """JSON with a line for each item."""
    parts = [
        f'"{name}": [\n' + ',\n'.join(json.dumps(item, ensure_ascii=False) for item in items) + '\n]'
        for name, items in (('texts', texts), ('tokens', tokens))
    ]
    return '{\n' + ',\n'.join([*parts, f'"scores": {json.dumps(scores, indent=1)}']) + '\n}\n'


if __name__ == '__main__':
    write()
