"""From sources to tabs: models are loaded, the folder is indexed, examples are read."""

import os
from collections.abc import Mapping

from vlpeft.apis import CaptionInferencer, ChatInferencer, RetrievalInferencer, VQAInferencer
from vlpeft.apis.build import load_model_config
from vlpeft.apis.folder_adapters import is_adapter_folder
from vlpeft.apis.media_files import find_media

from .answering import AskTab, CaptionTab, ChatTab
from .examples import read_examples
from .search import SearchTab
from .sources import DemoError, Source
from .tab import Tab

#: Above this number of files matching reads its candidates again, so that what it needs of all files fits the memory.
KEPT_IN_MEMORY = 500


def build_tabs(sources: Mapping[str, Source], device: str | None = None) -> dict[str, Tab]:
    """Loads the models.

    Args:
        sources: By tab.
        device: Defaults to None, the GPU if there is one, else the CPU.

    Raises:
        DemoError: No file of the folder can be read.
        As the inferencers.
    """
    return {name: BUILT[name](source, device) for name, source in sources.items()}


def _search(source: Source, device: str | None) -> SearchTab:
    finder = RetrievalInferencer(source.config, source.checkpoint, device)
    cfg, _ = load_model_config(source.config, {})
    examples = read_examples(cfg.test_dataloader.dataset)
    files = list(find_media(source.folder))
    if source.tested_only:
        tested = {os.path.abspath(example.path) for example in examples}
        files = [path for path in files if path in tested]
    skipped: set[str] = set()
    for adapter in (None, finder.adapters[0]):
        skipped |= finder.index(files, keep_tokens=len(files) <= KEPT_IN_MEMORY, adapter=adapter).skipped.keys()
    # From here on threads answer, beside which no process may be forked.
    finder.num_workers = 0
    found = [path for path in files if path not in skipped]
    if not found:
        raise DemoError(f'{source.folder}: none of its {len(files):,} files can be read')
    return SearchTab(source, finder, found, [item for item in examples if os.path.abspath(item.path) in found])


def _ask(source: Source, device: str | None) -> AskTab:
    if is_adapter_folder(source.checkpoint):
        return ChatTab(source, ChatInferencer(source.config, source.checkpoint, device))
    cfg, _ = load_model_config(source.config, {})
    if cfg.model.type == 'ImageTextLM':
        chat = ChatInferencer(source.config, source.checkpoint, device)
        return ChatTab(source, chat, read_examples(cfg.test_dataloader.dataset))
    asker = VQAInferencer(source.config, source.checkpoint, device)
    return AskTab(source, asker, read_examples(asker.reading.dataset))


def _caption(source: Source, device: str | None) -> CaptionTab:
    describer = CaptionInferencer(source.config, source.checkpoint, device)
    return CaptionTab(source, describer, read_examples(describer.reading.dataset))


BUILT = dict(search=_search, ask=_ask, caption=_caption)
