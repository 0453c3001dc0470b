"""The tab that searches a folder."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from vlpeft.apis.retrieval_inferencer import Found, RetrievalInferencer
from vlpeft.datasets import ClipError

from . import fragments
from .examples import Example
from .media import plays, preview
from .sources import Source
from .tab import Tab, in_one_line, shortened, told

SHOWN = 4
#: Where the page finds the indexed clips, by their number.
ADDRESS = '/clips/{number}'
MATCHES = 'Scores are logits of the matching head: the higher, the better text and clip fit.'
COSINES = 'Scores are cosines between the features of text and clip: the higher, the better they fit.'
BLANK = 'Type what to look for.'
UNKNOWN = 'The model does not know: {words}. The results answer the other words alone.'


class SearchTab(Tab):
    """Clips and images of a folder, found by text.

    Args:
        source: Model and folder.
        finder: Its inferencer, which has indexed ``files`` with the adapter and without.
        files: What is searched.
        examples: Captions of files, to click and to mark what is right.
    """

    def __init__(
        self, source: Source, finder: RetrievalInferencer, files: Sequence[str], examples: Iterable[Example] = ()
    ) -> None:
        self.files = {path: number for number, path in enumerate(files)}
        some = 'the test clips, which training has not seen' if source.tested_only else 'videos and images'
        super().__init__(source, finder, [('Searched', f'{shortened(source.folder)}: {len(files):,} files, {some}')])
        self.examples = tuple(examples)
        self.scores = MATCHES if finder.model.matches else COSINES
        self.described: dict[str, set[str]] = {}
        for example in self.examples:
            self.described.setdefault(_plain(example.text), set()).add(os.path.abspath(example.path))

    @in_one_line
    def respond(self, query: str) -> str:
        """HTML of what is found for a text, without the adapter and with it."""
        if not query.strip():
            return fragments.hint(BLANK)
        unknown = self.inferencer.unknown_words(query)
        found = self.compare(lambda adapter: self.inferencer.search(query, SHOWN, adapter=adapter))
        return fragments.columns(
            [fragments.Side(title, self._ranked(ranked, query)) for title, ranked in found.items()],
            fragments.hint(UNKNOWN.format(words=', '.join(unknown)) if unknown else self.scores),
        )

    def _ranked(self, ranked: Sequence[Found], query: str) -> str:
        right = self.described.get(_plain(query), ())
        return fragments.clips(
            [
                fragments.clip(place, os.path.relpath(path, self.source.folder), score, self._show(path), path in right)
                for place, (path, score) in enumerate(ranked, start=1)
            ]
        )

    def _show(self, path: str) -> str:
        name = Path(path).name
        try:
            if plays(path):
                return fragments.video(ADDRESS.format(number=self.files[path]), name)
            return fragments.picture(preview(path), name)
        except ClipError as error:  # it has gone, or was damaged, since it was indexed
            return fragments.problem(told(error))


def _plain(text: str) -> str:
    return ' '.join(text.lower().split())
