"""Caption cleaning, the way BLIP's captions were cleaned when it was pre-trained."""

import re

from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS

PUNCTUATION = re.compile(r'[.!"()*#:;~]')


def clean_caption(text: str, max_words: int = 30) -> str:
    """Replace ``.!"()*#:;~`` by blanks, lower-case, squeeze white space and keep the first words.

    Args:
        text (str): Caption.
        max_words (int): Words kept. Defaults to 30.

    Returns:
        str: Cleaned caption.
    """
    return ' '.join(PUNCTUATION.sub(' ', text.lower()).split()[:max_words])


@TRANSFORMS.register_module()
class CleanText(BaseTransform):
    """Clean the caption (``text``) or captions (``texts``) of a sample, see :func:`clean_caption`.

    Args:
        max_words (int): Words kept of each caption. Defaults to 30.
    """

    def __init__(self, max_words: int = 30) -> None:
        self.max_words = max_words

    def transform(self, results: dict) -> dict:
        if 'text' in results:
            results['text'] = clean_caption(results['text'], self.max_words)
        if 'texts' in results:
            results['texts'] = [clean_caption(text, self.max_words) for text in results['texts']]
        return results
