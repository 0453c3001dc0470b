"""Models of other libraries as people bring them: those of the contract that a README would name."""

from vlpeft.testing import SUBJECTS

PLAIN = {name: SUBJECTS[name] for name in ('bart', 't5', 'opt', 'gpt2', 'llama', 'clip', 'vit', 'beit')}
