"""Penn Treebank tokens of captions without Java.

coco-caption tokenizes with Stanford's PTBTokenizer 3.4.1, a Java program, in lower case, and drops punctuation. The
rules here were found by giving texts to that program and looking at its tokens. Known to
differ: several words glued by marks ("p.m.-red"), telephone numbers with brackets, rarer smileys, scripts and signs
that Unicode got after 2008, and a caption that ends in "no." or another abbreviation that stands before numbers (the
program takes the next caption's first word for what follows).
"""

import regex

# Stays out of the tokens. Brackets do not: coco-caption drops -LRB- and the like, but lower case makes them -lrb-.
PUNCTUATION = {*"'`.?!,:;-", "''", '``', '--', *'"“”‘’‛‹›«»…–—―'}

ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc asst atty attys aug ave bhd bldg blvd brig bros calif capt cf cie
    cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft ga
    gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mfg mich
    minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc ppte ppty pres prof
    profs pte ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt supts sys tel
    tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo
""".split()
ABBREVIATIONS_BEFORE_NUMBERS = 'art ca fig figs no nos op pp prop'.split()
WITH_APOSTROPHE = """
    c'est c'mon e'er li'l ma'am ne'er nor'easter o'clock s'mores dunkin' ol' somethin' 'cause 'em 'n 'till 'til
""".split()

# [w] stands for a letter or digit, [l] for a letter, [a] for an apostrophe. Of two rules that fit, the first counts.
RULES = (
    r'<!--.*?-->|</?[a-z][^<>]*>',  # tags
    r'&(?:amp|lt|gt|quot|nbsp);',
    r'https?://[^\s<>"()]*[^\s<>"().,;:!?\']',  # links
    r'(?:www\.|[a-z][a-z\d.-]*\.(?:com|edu|net|org)/)[^\s<>"()]*[^\s<>"().,;:!?\']',
    r'[\p{L}\p{Nd}][\w.-]*@\w[\w-]*(?:\.\w+)*',  # mail
    r'#[l]+|@[a-z_]\w*|c\+\+|[cf]#(?![w])',
    r"''|\.{3,}|-{2,4}(?!-)",
    r"'t(?=is|was)|can(?=not(?![w]|[a]s))|(?:gon|wan)(?=na(?![w]|[a]s))",  # 't is, can not, gon na
    r'got(?=ta(?![w]|[a]s))|(?:gim|lem)(?=me(?![w]|[a]s))',
    r'[a](?:[2-9]0s|\d\d(?=\s|$))|[a]n[a]',  # '90s
    r'(?:WITH_APOSTROPHE)(?![w])|qu[a][l]+',
    r'[dlno][a](?!(?:ll|re|ve)(?![w]))[l]{2,}(?:-[w]+)*',  # o'neill
    r'[djly][a](?=[w])(?!(?:ll|re|ve|s|m|d)(?![w]))',  # y' all
    r'n[a]t|[l]+?(?=n[a]t)',  # do n't
    r'[a](?:s|m|d|re|ve|ll)(?![l])',  # man 's
    r'ph\.d\.|[l](?:\.[l])+\.(?![l])',  # u.s.
    r'[l][w]*(?:\.[l][w]*)+(?:[-_][w]+)*',  # end.the: a missing blank
    r'(?:ABBREVIATIONS|[a-z])\.|(?:BEFORE_NUMBERS)\.(?=\s?\d)|[w]+\.(?=[,;:])',
    r'\d{1,4}\ \d{1,4}/\d{1,4}(?![\d/])',  # 1 1/2
    r'[-+]?\d*(?:[.,:]\d+)+(?:-[w]+)*|[-+]\d+',  # -1,000.5
    r'(?-i:[A-Z]+(?:[&+][A-Z]+)+|[A-Z]+\$)',  # AT&T, US$
    r'[a-z\d]+(?:-[a-z\d]+)*(?:/[a-z\d]+(?:-[a-z\d]+)*){1,2}(?![w])',  # and/or
    r'[w]+(?:[-_][w]+)*',
    r">?[:;=]'?-?[()]|[:;=]-?[dp](?![w])|[:=][]|\\]",  # smileys
    r'[?!]+|-{5,}|_+|\*+|#+|<+|>+',
    r'[^\s\w\p{C}\p{Sc}]|[$¢£¤¥€₤]|\p{No}',  # any other sign, alone
)
SPELLINGS = {
    '[': '-lsb-',
    ']': '-rsb-',
    '{': '-lcb-',
    '}': '-rcb-',
    '£': '#',
    '€': '$',
    '¤': '$',
    '¢': 'cents',
    '½': '1/2',
    '¼': '1/4',
    '¾': '3/4',
    '⅓': '1/3',
    '⅔': '2/3',
    '&lt;': '<',
    '&gt;': '>',
    '&amp;': '&',
    '&quot;': "''",
    '&nbsp;': "''",
    '---': '--',
    '----': '--',
}
# PTBTokenizer puts no-break blanks into a token.
IN_TOKENS = str.maketrans({'(': '-lrb-', ')': '-rrb-', ' ': '\u00a0'})
CURLY_CLITIC = regex.compile('n?’(?:[tsmd]|re|ve|ll)', regex.IGNORECASE)
# Emoji, variation selectors and enclosing marks are unknown to PTBTokenizer, which deletes them.
UNKNOWN = regex.compile(r'[\U00010000-\U0010ffff\ufe00-\ufe0f\u20d0-\u20ff]')
SOFT_HYPHEN = '\u00ad'


def _compile_rules() -> regex.Pattern:
    pieces = {
        '[w]': r'[\p{L}\p{M}\p{Nd}]',
        '[l]': r'[\p{L}\p{M}]',
        'WITH_APOSTROPHE': '|'.join(WITH_APOSTROPHE).replace("'", '[a]'),
        'BEFORE_NUMBERS': '|'.join(ABBREVIATIONS_BEFORE_NUMBERS),
        'ABBREVIATIONS': '|'.join(ABBREVIATIONS),
    }
    rules = '|'.join(RULES)
    for name, piece in pieces.items():
        rules = rules.replace(name, piece)
    return regex.compile(rules.replace('[a]', "['’]"), regex.IGNORECASE)


TOKEN = _compile_rules()


def ptb_tokens(caption: str) -> list[str]:
    """Tokens of one caption as coco-caption counts them.

    Args:
        caption: Any text; line breaks count as blanks.

    Returns:
        Lower-case tokens without punctuation; none if the text is empty or only punctuation.
    """
    tokens = TOKEN.findall(UNKNOWN.sub(' ', caption.replace(SOFT_HYPHEN, '')))
    tokens = [token.replace('’', "'") if CURLY_CLITIC.fullmatch(token) else token for token in tokens]
    tokens = [SPELLINGS.get(token, token.translate(IN_TOKENS)).lower() for token in tokens]
    return [token for token in tokens if token not in PUNCTUATION and token.strip('.')]
