"""Follows a page as a reader does: its commands and Python blocks run one after the other in a folder, in this process.

What a page says that is printed must have been printed; numbers, and what depends on a machine, may be others.
"""

import contextlib
import io
import re
import shlex
from pathlib import Path
from unittest import mock

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from tests.commands import run_script
from tests.docs.markdown_pages import FENCE
from vlpeft import cli

#: Where the pages' reader is, and what they leave out of what is printed.
HOME, ELLIPSIS = '/home/me/vlpeft', '…'
#: Figures that only some machines have, what depends on figures, and what a model says.
VARIES = re.compile(r" METEOR #|(?<=tokenizer )(java|python)\b| best so far$|(?<=answer=)'[^']*'")
#: What MMEngine keeps for a process, of which the runs of a test would find each other's.
PER_PROCESS = (DefaultScope, MMLogger, MessageHub, Visualizer)


def masked(line: str) -> str:
    """A line without its numbers, widths of columns and what varies."""
    return VARIES.sub('', ' '.join(re.sub(r'\d[\d,.:]*(e[+-]\d+)?', '#', line).split())).strip()


def command_lines(block: str) -> list[list[str]]:
    """Commands of a block of Bash as words; comments and continued lines as a shell reads them."""
    lines = block.replace('\\\n', ' ').splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


class Reader:
    """Does what blocks say in the current folder.

    Args:
        folder: The current folder, which stands for :data:`HOME`.
        instead: Texts of blocks and what takes their place, such as the name of a large model and a tiny one. Defaults
            to none.
        left_out: Commands that are not run as they stand, blanks aside, and why not. Defaults to none.
        config: File that a block which sets ``_base_`` is written to. Defaults to None: there is none.

    Attributes:
        scope: Names of the Python blocks.
        printed: All that was printed.
        found: Commands of ``left_out`` that were met.
    """

    def __init__(
        self,
        folder: Path,
        instead: dict[str, str] | None = None,
        left_out: dict[str, str] | None = None,
        config: Path | None = None,
    ) -> None:
        self.config = config
        self.instead = {HOME: str(folder), **(instead or {})}
        self.left_out = {' '.join(command.split()): reason for command, reason in (left_out or {}).items()}
        self.scope: dict = {}
        self.printed, self.found = '', set()

    def vlpeft(self, *words: str) -> int:
        """A command and its exit code; what it printed is in ``printed``."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.ExitStack() as apart:
            for kind in PER_PROCESS:
                apart.enter_context(mock.patch.dict(kind._instance_dict, clear=True))
            try:
                code = cli.main(list(words)) or 0
            except SystemExit as end:
                code = end.code or 0
        self.printed += out.getvalue()
        return code

    def bash(self, block: str) -> None:
        """Runs commands, which all must be vlpeft's or tools of the checkout, and end with 0."""
        for words in command_lines(block):
            if (command := ' '.join(words)) in self.left_out:
                self.found.add(command)
                continue
            before = len(self.printed)
            if words[0] == 'vlpeft':
                code = self.vlpeft(*words[1:])
            else:
                assert words[0] == 'python' and words[1].startswith('tools/'), f'not a command of vlpeft: {words}'
                done = run_script(*words[1:])
                code, self.printed = done.returncode, self.printed + done.stdout + done.stderr
            assert code == 0, f'{words} ended with {code}:\n{self.printed[before:]}'

    def python(self, block: str, page: str) -> None:
        """Runs a block in the scope of those before."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, page, 'exec'), self.scope)
        self.printed += out.getvalue()

    def text(self, block: str) -> None:
        """Compares lines with what was printed."""
        printed = {masked(line) for line in self.printed.splitlines()}
        missing = [line for line in block.splitlines() if line != ELLIPSIS and masked(line) not in printed]
        assert missing == [], f'said, but not printed: {missing}\n{self.printed}'

    def follow(self, page: str, text: str) -> None:
        """Does all of a page; blocks of other languages are passed over.

        Raises:
            AssertionError: A command fails or is left out for nothing, or a line was not printed.
        """
        for match in FENCE.finditer(text):
            block = match['body']
            for there, here in self.instead.items():
                block = block.replace(there, here)
            if match['language'] == 'bash':
                self.bash(block)
            elif match['language'] == 'python' and self.config and '_base_ = ' in block:
                self.config.write_text(block)
            elif match['language'] == 'python':
                self.python(block, page)
            elif match['language'] == 'text':
                self.text(block)
        assert self.found == set(self.left_out), f'{page} has no {self.left_out.keys() - self.found}'
