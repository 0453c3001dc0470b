"""Cleaning of captions and questions, the way they were cleaned when BLIP was trained on them."""

import re

from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS

PUNCTUATION = re.compile(r'[.!"()*#:;~]')
WIDE_SPACE = re.compile(r'\s{2,}')


def clean_caption(text: str, max_words: int = 50) -> str:
    """Replace ``.!"()*#:;~`` by blanks, lower-case, make white space of two or more characters one blank, remove blanks
    from both ends and a line break from the end, and keep the first words.

    A tab or line break that stands alone stays inside its word.

    Args:
        text: Caption.
        max_words: Words kept; words are what stands between blanks. Defaults to 50.

    Returns:
        Cleaned caption.
    """
    text = WIDE_SPACE.sub(' ', PUNCTUATION.sub(' ', text.lower())).rstrip('\n').strip(' ')
    return ' '.join(text.split(' ')[:max_words])


@TRANSFORMS.register_module()
class CleanText(BaseTransform):
    """Clean the caption (``text``) or captions (``texts``) of a sample, see :func:`clean_caption`.

    Args:
        max_words: Words kept of each caption. Defaults to 30, as in BLIP's retrieval sets.
    """

    def __init__(self, max_words: int = 30) -> None:
        self.max_words = max_words

    def transform(self, results: dict) -> dict:
        if 'text' in results:
            results['text'] = clean_caption(results['text'], self.max_words)
        if 'texts' in results:
            results['texts'] = [clean_caption(text, self.max_words) for text in results['texts']]
        return results


def clean_question(text: str, max_words: int = 50, trim: bool = False) -> str:
    """Delete ``.!"()*#:;~``, lower-case, and keep the first words.

    Unlike in captions nothing takes the place of the deleted characters, and white space stays as it is, but for blanks
    at the end: released models were trained on such strings.

    Args:
        text: Question.
        max_words: Words kept; words are what stands between single blanks. Defaults to 50.
        trim: Squeeze white space and remove it from both ends first. Defaults to False.

    Returns:
        Cleaned question.
    """
    text = PUNCTUATION.sub('', text.lower())
    text = ' '.join(text.split()) if trim else text.rstrip(' ')
    return ' '.join(text.split(' ')[:max_words])


@TRANSFORMS.register_module()
class CleanQuestion(BaseTransform):
    """Clean the ``question`` of a sample, see :func:`clean_question`.

    Args:
        max_words: Words kept. Defaults to 50.
        trim: Also squeeze white space and remove it from both ends. Defaults to False, as released.
    """

    def __init__(self, max_words: int = 50, trim: bool = False) -> None:
        self.max_words, self.trim = max_words, trim

    def transform(self, results: dict) -> dict:
        results['question'] = clean_question(results['question'], self.max_words, self.trim)
        return results
