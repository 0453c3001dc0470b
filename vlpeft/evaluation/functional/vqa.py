"""Accuracy of open-ended answers as the VQA challenge computes it (Antol et al., ICCV 2015; visualqa.org/evaluation).

An answer is compared with those of n annotators (ten, in VQA); every annotator is left out once:

    accuracy(a) = (1/n) sum_i min(1, #{ j != i : a_j = a } / 3)

Before that answers are brought to one spelling, but only where the annotators disagree: if all of them wrote the very
same text, it is compared as it stands, upper case and punctuation included. VL-T5 and the codes that descend from it
(VL-PET, eP-ALM) carry an older rule: the prediction is always brought to one spelling, and of the annotators' answers,
where they disagree, only the punctuation is.
"""

import re
from collections.abc import Sequence

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
DIGIT_COMMA_DIGIT = re.compile(r'\d,\d')
PERIOD = re.compile(r'\.(?!\d)')
ARTICLES = ('a', 'an', 'the')
NUMBERS = dict(
    none='0',
    zero='0',
    one='1',
    two='2',
    three='3',
    four='4',
    five='5',
    six='6',
    seven='7',
    eight='8',
    nine='9',
    ten='10',
)
FULL_CREDIT = 3
SPELLING_RULES = ('official', 'vlt5')

# Words that get their apostrophe back; most that are words without it (its, hell, well, lets) are not among them.
CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()


def _misspellings(words: list[str]) -> dict[str, str]:
    """Every word by its spellings that lack one apostrophe."""
    return {word[:at] + word[at + 1 :]: word for word in words for at, letter in enumerate(word) if letter == "'"}


# The challenge's table takes the apostrophe away from this one.
CONTRACTIONS = dict(_misspellings(CONTRACTED), **{"somebody'd": 'somebodyd'})


def normalise_answer(answer: str) -> str:
    r"""One spelling for answers that mean the same.

    In this order, the challenge's rules with their edges:

    * line breaks and tabs become blanks; blanks at both ends go;
    * each of ``;/[]"{}()=+\_-><@`,?!`` is deleted if, somewhere in the answer, it stands beside a blank or a comma
      stands between digits (100,978 becomes 100978); otherwise it becomes a blank. Apostrophes, colons (2:50) and all
      other characters stay;
    * periods go unless a digit follows;
    * lower case; words are what stands between white space;
    * number words from zero to ten become digits, and none becomes 0;
    * the articles a, an and the go;
    * contractions get the apostrophe that they lack (dont becomes don't), see ``CONTRACTIONS``.

    Args:
        answer: Any text.

    Returns:
        Words with single blanks between them; '' if only articles and punctuation were there.
    """
    return _normalise_words(_normalise_punctuation(_strip(answer)))


def vqa_accuracy(prediction: str, gold: Sequence[str], rule: str = 'official') -> float:
    """Accuracy of one answer, see the module's equation.

    Args:
        prediction: Predicted answer.
        gold: Answers of all annotators, repetitions included; ten in VQA.
        rule: Which answers are brought to one spelling before: ``'official'`` as the challenge does it, or ``'vlt5'``,
            to compare with figures of codes that use the older rule. Defaults to ``'official'``.

    Returns:
        From 0 to 1. With ten annotators 0, 0.3, 0.6, 0.9 and 1 for 0, 1, 2, 3 and more of them.

    Raises:
        ValueError: There are so few annotators (three or less) that no answer can reach 1, or no such rule.
    """
    if len(gold) <= FULL_CREDIT:
        raise ValueError(
            f'VQA accuracy leaves each annotator out and asks {FULL_CREDIT} others to agree, so it needs '
            f'{FULL_CREDIT + 1} annotators or more, got {len(gold)}: {list(gold)}'
        )
    prediction, gold = _one_spelling(prediction, gold, rule)
    agreeing = gold.count(prediction)
    others = len(gold) - agreeing
    credit = others * min(1, agreeing / FULL_CREDIT)
    if agreeing:
        credit += agreeing * min(1, (agreeing - 1) / FULL_CREDIT)
    return credit / len(gold)


def _one_spelling(prediction: str, gold: Sequence[str], rule: str) -> tuple[str, list[str]]:
    check_spelling_rule(rule)
    if rule == 'vlt5':
        unanimous = len(set(gold)) == 1
        return normalise_answer(prediction), list(gold) if unanimous else [_normalise_punctuation(a) for a in gold]
    prediction, gold = _strip(prediction), [_strip(answer) for answer in gold]
    if len(set(gold)) == 1:
        return prediction, gold
    return normalise_answer(prediction), [normalise_answer(answer) for answer in gold]


def check_spelling_rule(rule: str) -> None:
    """Refuse a rule that :func:`vqa_accuracy` does not know.

    Raises:
        ValueError: It is not in ``SPELLING_RULES``.
    """
    if rule not in SPELLING_RULES:
        raise ValueError(f'unknown spelling rule {rule!r}, valid: {", ".join(SPELLING_RULES)}')


def _strip(text: str) -> str:
    return text.replace('\n', ' ').replace('\t', ' ').strip()


def _normalise_punctuation(text: str) -> str:
    has_thousands = DIGIT_COMMA_DIGIT.search(text) is not None
    out = text
    for mark in PUNCTUATION:
        beside_blank = f'{mark} ' in text or f' {mark}' in text
        out = out.replace(mark, '' if beside_blank or has_thousands else ' ')
    return PERIOD.sub('', out)


def _normalise_words(text: str) -> str:
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    return ' '.join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
