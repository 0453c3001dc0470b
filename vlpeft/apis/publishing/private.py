"""What is nobody else's business: folders of a machine, names of users and hosts, credentials.

Paths become names of files, or nothing; what remains and still tells is refused, by place, before anything is written.
"""

import getpass
import platform
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from vlpeft.apis.hub_folder import LEFT_OUT

from .errors import PublishError

#: A path from a root: of Unix, of Windows, of a home.
ROOTED = re.compile(r'^\s*(?:/|~|file:|[A-Za-z]:[\\/]|\\\\)')
#: Anywhere in a text: a path from the root, by the folders that machines have there.
INSIDE = re.compile(
    r'(?<![\w.:/])/(?:home|Users|root|mnt|data|work|tmp|var|opt|srv|scratch|storage|usr|etc|lustre|gpfs|nfs|media|'
    r'workspace)/|[A-Za-z]:\\|(?<!\w)~/'
)
#: Tokens by the beginnings that the services give them.
TOKEN = re.compile(
    r'\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|sk-[\w-]{16,}|AKIA[0-9A-Z]{12,}|'
    r'xox[bap]-[\w-]{8,})'
)
#: Of a URL: what is before @, and all after ?.
CREDENTIALS = re.compile(r'(?<=://)[^/@\s]+@|\?\S*$')
#: Whose name is in a path of a home.
HOME = re.compile(r'(?:/home|/Users|[A-Za-z]:[\\/]Users)[\\/]([^\\/\s\'"]+)')
#: Names of users and hosts that tell nothing.
COMMON = {'root', 'user', 'ubuntu', 'admin', 'nobody', 'runner', 'localhost', 'vscode', 'jovyan', 'docker', 'model'}
#: Settings of a model or step without which it cannot be built.
NEEDED = ('source', 'vocabulary', 'processor', 'model')


def secret_words(*texts: str) -> set[str]:
    """Names of users and of this machine: of who publishes, and of the homes that texts name."""
    words = {
        platform.node(),
        platform.node().partition('.')[0],
        *(name for text in texts for name in HOME.findall(text)),
    }
    try:
        words.add(getpass.getuser())
    except (KeyError, OSError):  # a user without a name
        pass
    return {word for word in words if len(word) > 2 and word.lower() not in COMMON}


def cleaned(value: Any, words: Collection[str]) -> Any:
    """A config, or a value of one, without folders of a machine; tuples become lists, as JSON has it."""
    if isinstance(value, Mapping):
        found = {str(key): cleaned(item, words) for key, item in value.items()}
        return {key: LEFT_OUT if key in NEEDED and item == '' != value[key] else item for key, item in found.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(item, words) for item in value]
    return public_text(value, words) if isinstance(value, str) else value


def public_text(text: str, words: Collection[str] = ()) -> str:
    """A text without what :func:`traces` finds: of a path from a root, or out of the current folder, the name of the
    file, or nothing; of a URL what is neither credential nor query.
    """
    if '://' in text and not text.startswith('file:'):
        text = CREDENTIALS.sub('', text)
    elif ROOTED.match(text) or '..' in PurePosixPath(text.replace('\\', '/')).parts:
        name = PurePosixPath(text.replace('\\', '/')).name
        text = name if PurePosixPath(name).suffix else ''
    return LEFT_OUT if next(traces(text, words), None) else text


def traces(text: str, words: Collection[str]) -> Iterator[str]:
    """What in a text tells of a machine or a person."""
    for pattern in (ROOTED, INSIDE, TOKEN):
        if found := pattern.search(text):
            yield found[0]
    for word in words:
        if re.search(rf'(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])', text):
            yield word


def check_public(value: Any, words: Collection[str], where: str) -> None:
    """Goes through everything that is to be published.

    Args:
        value: Texts, in dicts and lists.
        words: Of :func:`secret_words`.
        where: For messages.

    Raises:
        PublishError: A text tells of a machine or a person.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_public(str(key), words, where)
            check_public(item, words, f'{where}: {key}')
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_public(item, words, where)
    elif isinstance(value, str):
        if found := next(traces(value, words), None):
            raise PublishError(
                f'{where} holds {found!r}, a folder of a machine, a name or a token; nothing was written'
            )
