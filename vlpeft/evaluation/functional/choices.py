"""Which of the lettered choices a free text names."""

import re
from collections.abc import Iterable, Mapping

PHRASE = re.compile(
    r"""(?ix: \b(?:answer|choice)\b \s* (?:would\ be|is|:|=|-)+ \s* :? \s* (?:option|choice|letter)? \s*)
        (?P<letters> [("'*\[]* [A-Z] \b (?: \s*[)\]"'*]* \s* (?:,|/|&|\bor\b|\band\b) \s* [("'*\[]* [A-Z] \b )* )
        (?!['’])""",
    re.VERBOSE,
)
ALONE = re.compile(r'[^\w]*(?:(?i:option|choice)\s+)?\W*([A-Za-z])\W*')
MARKED = re.compile(r'\(([A-Za-z])\)|(?<![\w.])([A-Z])[.):](?!\w)|^\W*([a-z])[.):](?!\w)')
BARE = re.compile(r"(?<![\w'’.])([A-Z])(?![\w'’])(?!\.\w)")
#: 'A cat …', 'I think …': the article and the pronoun, not letters of choices, unless 'or' or 'and' follows.
WORDS = re.compile(r'[AI]\s+(?!(?:or|and|nor|is)\b)[a-z]')
DENIED = re.compile(
    r"(?i)(?:\bnot|n['’]t|\bneither|\bnor|\brather than|\binstead of)\s+(?:an?\s+|the\s+)?(?:option\s+)?\W?$"
)


def named_choices(text: str, choices: Mapping[str, str]) -> set[str]:
    """Letters of the choices that an answer names: one of an answer, none of no answer, several of an ambiguous one.

    The first of these rules that finds a letter decides:

    1. The text is a letter alone, upper or lower case, with any marks: 'B', '(b)', 'B.', '**B**', 'Option B'.
    2. The text is that of a choice, but for upper case, blanks and a period at its end: 'A cat.'
    3. A letter is announced or marked: 'the answer is B', 'Answer: B or C', '(B)', 'B.', 'B)', 'B:', and, at the
       beginning, 'b)'. 'B. dog' where 'dog' is choice C names both.
    4. Capital letters that stand alone: 'I would say B'. 'A' and 'I' before a word of small letters are the article
       and the pronoun.
    5. Texts of choices occur as whole words; one inside of another that occurs ('red' in 'dark red') does not count.

    Letters and texts behind 'not', 'nor', 'rather than' and the like do not count in rules 3 to 5.

    Args:
        text: The answer.
        choices: Texts of the choices by letter, 'A' to 'Z'.

    Raises:
        ValueError: There are fewer than two choices, or one is not under a capital letter.
    """
    if len(choices) < 2 or not all(re.fullmatch('[A-Z]', letter) for letter in choices):
        raise ValueError(f'expected two choices or more under the letters A to Z, got {dict(choices)}')
    alone = ALONE.fullmatch(text)
    if alone and alone[1].upper() in choices:
        return {alone[1].upper()}
    same = _same(text, choices)
    if same:
        return same
    rules = (_announced, _bare, _quoted)
    return next((found for rule in rules if (found := rule(text, choices))), set())


def _plain(text: str) -> str:
    return ' '.join(text.casefold().split()).rstrip('.')


def _same(text: str, choices: Mapping[str, str]) -> set[str]:
    return {letter for letter, choice in choices.items() if _plain(choice) and _plain(choice) == _plain(text)}


def _announced(text: str, choices: Mapping[str, str]) -> set[str]:
    found: set[str] = set()
    for match in PHRASE.finditer(text):
        found |= _known(re.findall(r'\b[A-Z]\b', match['letters']), choices)
        if WORDS.match(text, match.end() - 1):  # 'The answer is A cat'
            found -= {text[match.end() - 1]}
    for match in MARKED.finditer(text):
        letters = _known(filter(None, match.groups()), choices)
        if letters and not DENIED.search(text[: match.start()]):
            found |= letters | (_same(text[match.end() :], choices) if not text[: match.start()].strip() else set())
    return found


def _bare(text: str, choices: Mapping[str, str]) -> set[str]:
    return {
        match[1]
        for match in BARE.finditer(text)
        if match[1] in choices and not WORDS.match(text, match.start()) and not DENIED.search(text[: match.start()])
    }


def _quoted(text: str, choices: Mapping[str, str]) -> set[str]:
    text = _plain(text)
    spans = [
        (match.span(), letter)
        for letter, choice in choices.items()
        if _plain(choice)
        for match in re.finditer(rf'(?<!\w){re.escape(_plain(choice))}(?!\w)', text)
        if not DENIED.search(text[: match.start()])
    ]
    return {letter for span, letter in spans if not any(_inside(span, other) for other, _ in spans)}


def _inside(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]


def _known(letters: Iterable[str], choices: Mapping[str, str]) -> set[str]:
    return {letter.upper() for letter in letters} & set(choices)
