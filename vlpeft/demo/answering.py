"""The tabs that are given a file: questions about it, and captions of it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlpeft.apis.media_files import media_of

from . import fragments
from .examples import Example, spread
from .media import preview
from .sources import Source
from .tab import Tab, in_one_line, told

SURE = 'Scores say how probable a model holds what it wrote, from 0 to 1.'
NO_FILE = 'Choose an example, or a file of your own.'
CALLED = dict(image='picture', video='video', audio='sound')
NO_QUESTION = 'Type a question.'


class FileTab(Tab):
    """A tab that is given a file.

    Args:
        source: The model.
        inferencer: Its inferencer.
        examples: Lines of the test data; some of them are shown, to click.

    Attributes:
        examples: Those that are shown.
    """

    #: A question for files that are chosen before anything is asked.
    probe = 'what is it?'

    def __init__(self, source: Source, inferencer: Any, examples: Sequence[Example] = ()) -> None:
        super().__init__(source, inferencer)
        self.examples = spread(examples)
        # By content: a page hands on copies of its files.
        self._truths = {(_digest(item.path), item.text): item.truths for item in self.examples}

    def look(self, path: str | None) -> tuple[str, str]:
        """HTML that shows a chosen file, and HTML of what is wrong with it; '' where there is nothing to say."""
        if path is None:
            return '', ''
        try:
            self.inferencer.preprocess(self.item(path, self.probe))
            return '' if media_of(path) == 'audio' else fragments.picture(preview(path), Path(path).name), ''
        except Exception as error:
            return '', fragments.problem(told(error, [path]))

    def item(self, path: str, question: str) -> Any:
        """A file, and what is asked about it, as the inferencer reads it."""
        return dict(path=path, question=question, question_id=0, sample_id=path)

    @property
    def media(self) -> Sequence[str]:
        """Kinds of files that the model takes: 'image', 'video', 'audio'."""
        return self.inferencer.media

    @property
    def takes(self) -> str:
        """The kinds of files that the model takes, in words."""
        *others, last = (CALLED[kind] for kind in self.media)
        return f'{", ".join(others)} or {last}'.removeprefix(' or ').capitalize()

    def truths(self, path: str, text: str) -> Sequence[str]:
        """What is right: known of the examples, whoever brings them."""
        return self._truths.get((_digest(path), text), ())


class AskTab(FileTab):
    """Questions about a picture or a video."""

    @in_one_line
    def respond(self, path: str | None, question: str) -> str:
        """HTML of the answers without the adapter and with it."""
        if path is None:
            return fragments.hint(NO_FILE)
        if not question.strip():
            return fragments.hint(NO_QUESTION)
        answers = self.compare(lambda adapter: self.inferencer(path, question, scores=True, adapter=adapter))
        truths = self.truths(path, question)
        return fragments.columns(
            [
                fragments.Side(title, fragments.answer(given.answer, given.score, truths))
                for title, given in answers.items()
            ],
            fragments.truth(truths, 'Answer') + fragments.hint(SURE),
        )


class ChatTab(AskTab):
    """Questions to a model that holds conversations, each in one of its own."""

    media = ('image', 'video')

    def name_method(self) -> str:
        return 'the adapter' if self.inferencer.by_folders else super().name_method()

    def trained(self) -> str:
        return 'what the adapter folder holds' if self.inferencer.by_folders else super().trained()

    def item(self, path: str, question: str) -> Any:
        return self.inferencer.packing.request.asked(path, question)


class CaptionTab(FileTab):
    """Captions of a picture, a video or a sound."""

    @in_one_line
    def respond(self, path: str | None) -> str:
        """HTML of the captions without the adapter and with it."""
        if path is None:
            return fragments.hint(NO_FILE)
        captions = self.compare(lambda adapter: self.inferencer(path, scores=True, adapter=adapter))
        truths = self.truths(path, '')
        return fragments.columns(
            [
                fragments.Side(title, fragments.answer(given.caption, given.score, truths))
                for title, given in captions.items()
            ],
            fragments.truth(truths, 'Caption') + fragments.hint(SURE),
        )


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
