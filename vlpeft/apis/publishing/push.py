"""Uploading a folder to the Hugging Face hub."""

import re
from collections.abc import Callable
from pathlib import Path

from vlpeft.apis.hub_folder import read_hub_folder

from .errors import PublishError

REPOSITORY = re.compile(r'[\w-][\w.-]*/[\w-][\w.-]*')


def check_repository(name: str) -> str:
    """``owner/name``.

    Raises:
        PublishError: It is none.
    """
    if not REPOSITORY.fullmatch(name):
        raise PublishError(f'{name!r} is no name on the hub; it has the form owner/name')
    return name


def announce(folder: str | Path, repository: str, endpoint: str) -> str:
    """What :func:`push` would upload: a line for each file."""
    folder = Path(folder)
    files = [path for path in sorted(folder.rglob('*')) if path.is_file()]
    lines = [f'  {path.stat().st_size:>12,} bytes  {path.relative_to(folder).as_posix()}' for path in files]
    return '\n'.join([f'to {endpoint}/{repository}, made as a private repository if there is none:', *lines])


def push(folder: str | Path, repository: str, say: Callable[[str], object] = print) -> str:
    """Uploads a folder as one commit, with the token that ``hf auth login`` or ``HF_TOKEN`` gives.

    Args:
        folder: Of :func:`~.folder.write_hub_folder`, which is checked first.
        repository: ``owner/name``; made if there is none, so that its owner alone sees it.
        say: Is told what is uploaded, before it is. Defaults to ``print``.

    Returns:
        Address of the commit.

    Raises:
        PublishError: No such name, or the hub refuses or cannot be reached.
        CheckpointError: A file of the folder has changed.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    check_repository(repository)
    read_hub_folder(folder)
    api = HfApi()
    say(announce(folder, repository, api.endpoint))
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=str(folder), commit_message='Model published with vlpeft'
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise PublishError(
            f'{repository} was not uploaded: {reason}; the folder {folder} is complete, hf auth login gives the token'
        ) from error
    return str(commit)


def upload(folder: str | Path, repository: str, really: bool) -> None:
    """Uploads a folder, or only says what of it would be uploaded."""
    if really:
        print(f'uploaded: {push(folder, repository)}')
        return
    from huggingface_hub import HfApi

    print(f'not uploaded without --yes; it would go {announce(folder, repository, HfApi().endpoint)}')
