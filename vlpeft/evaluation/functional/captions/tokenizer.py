"""Captions to tokens: coco-caption's Java program, or the same rules in Python."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .ptb import ptb_tokens

TOKENIZERS = ('auto', 'java', 'python')
INSTALL = 'pip install pycocoevalcap'


def choose_tokenizer(tokenizer: str = 'auto') -> str:
    """The tokenizer that will be used.

    Args:
        tokenizer: ``'java'``, ``'python'`` or ``'auto'``: ``'java'`` where the command ``java`` is found, else
            ``'python'``. Defaults to ``'auto'``.

    Returns:
        ``'java'`` or ``'python'``.

    Raises:
        ValueError: There is no such tokenizer.
        RuntimeError: ``'java'`` is asked for and there is no command ``java``.
    """
    if tokenizer not in TOKENIZERS:
        raise ValueError(f'unknown tokenizer {tokenizer!r}, valid: {", ".join(TOKENIZERS)}')
    has_java = shutil.which('java') is not None
    if tokenizer == 'java' and not has_java:
        raise RuntimeError(
            "tokenizer='java' needs the command java on PATH (any Java runtime); "
            "tokenizer='python' does without, and leaves METEOR out"
        )
    if tokenizer == 'auto':
        return 'java' if has_java else 'python'
    return tokenizer


def tokenize(captions: Sequence[str], tokenizer: str = 'auto') -> list[str]:
    """Lower-case captions in Penn Treebank tokens without punctuation, as coco-caption compares them.

    Args:
        captions: Any texts, empty ones included.
        tokenizer: See :func:`choose_tokenizer`. Defaults to ``'auto'``.

    Returns:
        For every caption its tokens with single blanks between them; '' if it has none.

    Raises:
        ValueError: See :func:`choose_tokenizer`.
        ImportError: ``'java'`` without pycocoevalcap, which brings the program.
        RuntimeError: See :func:`choose_tokenizer`; or the program failed.
    """
    if choose_tokenizer(tokenizer) == 'java':
        return _java(captions)
    return [' '.join(ptb_tokens(caption)) for caption in captions]


def _java(captions: Sequence[str]) -> list[str]:
    """Through PTBTokenizer of pycocoevalcap's jar.

    pycocoevalcap's wrapper of the program writes into the installed package, does not look at the exit code, and takes
    a caption with a carriage return or U+2028 for two, which shifts all that follow.
    """
    try:
        from pycocoevalcap.tokenizer import ptbtokenizer
    except ImportError as error:
        raise ImportError(f"tokenizer='java' needs pycocoevalcap: {INSTALL}") from error
    jar = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
    command = ['java', '-cp', str(jar), 'edu.stanford.nlp.process.PTBTokenizer', '-preserveLines', '-lowerCase']
    lines = ''.join(' '.join(caption.split()) + '\n' for caption in captions)
    run = subprocess.run(command, input=lines.encode(), capture_output=True)
    if run.returncode:
        raise RuntimeError(f'the Java tokenizer ended with exit code {run.returncode}: {run.stderr.decode()[-2000:]}')
    tokenized = run.stdout.decode().split('\n')[:-1]
    punctuation = set(ptbtokenizer.PUNCTUATIONS)
    return [' '.join(token for token in line.rstrip().split(' ') if token not in punctuation) for line in tokenized]
