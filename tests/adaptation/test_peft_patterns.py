"""Patterns of foreign folders: what ``re`` finds, within a time that is kept."""

import re
import time

import pytest

from vlpeft.adaptation.peft_folder import patterns as module
from vlpeft.adaptation.peft_folder.patterns import PatternError, Patterns

NAMES = [
    *(
        f'model.{side}.layers.{i}.self_attn.{q}_proj'
        for side in ('encoder', 'decoder')
        for i in (0, 1, 11)
        for q in 'qk'
    ),
    *('lm_head', 'h.0.attn.c_attn', 'h.10.mlp.c_fc', 'vision.layers.3.ffn.layers.0.0'),
]
PATTERNS = [
    r'.*\.(q|k)_proj',
    r'(.*\.)?(q_proj)$',
    r'(.*\.)?(^model\.encoder\.layers\.0\.self_attn\.q_proj)$',
    r'(?:^|.*?\.)layers\.(?P<index>\d+)\.',
    r'.*?\.[^.]*\.(?P<index>\d+)\.',
    r'(?!.*encoder).*\.1{1,2}\..*',
    r'(?i:MODEL)\.(\w+)\..*(?<!q)_proj',
    r'h\.(\d)\1?.*|lm_head|[^m].{3,}?\d+\b',
]


@pytest.mark.parametrize('pattern', PATTERNS)
def test_what_is_found_is_what_re_finds(pattern):
    patterns = Patterns()
    for name in NAMES:
        for whole, expected in ((False, re.match(pattern, name)), (True, re.fullmatch(pattern, name))):
            found = patterns.match(pattern, name, whole)
            assert (found and (found.span(), found.groupdict())) == (
                expected and (expected.span(), expected.groupdict())
            )


def test_all_patterns_of_a_folder_share_one_time(monkeypatch):
    """Each of these takes a fifth of a second or more, so a limit for each alone would let a file with many go on."""
    monkeypatch.setattr(module, 'SECONDS', 1.0)
    patterns = Patterns()
    begin = time.process_time()
    with pytest.raises(PatternError, match='takes too long'):
        for number in range(100):
            patterns.match(rf'(?:(\w|\w\w|\.)+[0-9])(?#{number})\Z', NAMES[0])
    assert time.process_time() - begin < 4


@pytest.mark.parametrize('pattern', ['(', 'a{99999999999999999999}', '[[:alpha:]]+', '(?:q){i<=2}', r'\p{Lu}', r'\K'])
def test_what_re_refuses_or_reads_otherwise_is_refused(pattern):
    with pytest.raises(PatternError):
        Patterns().match(pattern, 'q')
