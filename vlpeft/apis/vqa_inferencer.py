"""Questions about images and videos, answered."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mmengine.config import Config
from torch import nn

from vlpeft.datasets import BaseQA
from vlpeft.registry import DATASETS

from .media_files import PathLike
from .text_inferencer import TextInferencer, paths_of, refuse_if_none
from .texts import check_readable


class Answer(NamedTuple):
    """What a model answers to a question about a file.

    Attributes:
        file: Its path, as given.
        question: As asked.
        answer: None where the file could not be used.
        score: Where scores were asked for, from 0 to 1: of an answer from a closed list its probability among those
            that were compared; of a generated one the geometric mean of its tokens' probabilities.
        error: Why the file could not be used.
    """

    file: str
    question: str
    answer: str | None
    score: float | None = None
    error: str | None = None


class VQAInferencer(TextInferencer):
    """Answers questions about images and videos as the test of a config does, prompts and closed lists included.

    Args:
        model: A model that answers questions: name in the zoo, or path of a config file.
        checkpoint: Path or URL of the trained parts; 'base' for the base alone. Defaults to None: what the zoo
            publishes for the model, or nothing where ``adapters`` are given.
        device: Defaults to None, the GPU if there is one, else the CPU.
        dtype: 'float32', 'bfloat16' or 'float16'. Defaults to None, as the config says.
        adapters: Further checkpoints of the config by name. Defaults to None.
        task: Which of several tasks of the config's test. Defaults to None, the only one that fits.
        answers: The closed list for models that choose from one. Defaults to None: that of the config's test set.
        **overrides: Settings of the config's ``model``, such as ``inference='generate'``.

    Raises:
        ValueError: The model does something else, or reads what no file holds; there is no such device, number format
            or task; a closed list that the model does not use, or that is empty.
        ZooError, FileNotFoundError, CheckpointError: As :func:`vlpeft.get_model`.

    Examples:
        >>> from vlpeft import VQAInferencer
        >>> ask = VQAInferencer('quickstart_questions_epalm', 'epoch_4.pth')
        >>> ask('photo.jpg', 'what colour is it?')
        Answer(file='photo.jpg', question='what colour is it?', answer='red', score=None, error=None)
    """

    output, given, doing = 'pred_answer', ('question',), 'answering'

    own_options = ('task', 'answers')

    def read_config(
        self, cfg: Config, name: str, task: str | None = None, answers: Sequence[str] | None = None
    ) -> None:
        """How the config's test reads a file, and its closed list."""
        self.answers = None if answers is None else _checked_list(answers)
        super().read_config(cfg, name, task)
        # By type: whether a list is used is known before the model is built.
        chooses = cfg.model.type == 'GenerativeVQA' and cfg.model.get('inference', 'rank') == 'rank'
        if self.answers is not None and not chooses:
            raise ValueError(f'{name}: this model does not choose from a list; leave out answers')
        if chooses and self.answers is None:
            self.answers = _list_of(self.reading.dataset, name)

    def build(self, cfg: Config) -> nn.Module:
        """The model, which knows its closed list."""
        model = super().build(cfg)
        if self.answers is not None:
            model.set_answer_list(self.answers)
        return model

    def __call__(
        self,
        files: PathLike | Sequence[PathLike],
        questions: str | Sequence[str],
        batch_size: int | None = None,
        adapter: str | None = ...,
        scores: bool = False,
    ) -> Answer | list[Answer]:
        """Answers questions.

        Args:
            files: A file, or several.
            questions: A question, or several: one about each file; or all about one file; or one about all files.
            batch_size: Samples of a batch. Defaults to None, that of the config's test.
            adapter: Name of the checkpoint that acts; None for the base alone. Defaults to the first.
            scores: Whether to compute scores too. Defaults to False.

        Returns:
            An answer, or where there are several files or questions a list of them, in their order. A file of several
            that cannot be used has its reason as ``error``.

        Raises:
            ValueError: An empty question; numbers of files and questions that do not fit; no such adapter.
            TypeError: A question is no text.
            ClipError: No file at all can be used.
        """
        paths, single_file = paths_of(files)
        single_question = isinstance(questions, str)
        if not isinstance(questions, str | Iterable):
            raise TypeError(f'the question {questions!r} must be a text')
        asked = [questions] if single_question else list(questions)
        _check_questions(asked)
        if len(paths) > 1 < len(asked) and len(paths) != len(asked):
            raise ValueError(
                f'{len(paths)} files and {len(asked)} questions; give one question about each file, or one of either'
            )
        count = max(len(paths), len(asked))
        paths, asked = (found * count if len(found) == 1 else found for found in (paths, asked))
        items = [dict(path=path, question=text, question_id=i) for i, (path, text) in enumerate(zip(paths, asked))]
        found = self.run(items, batch_size, adapter, scores)
        refuse_if_none(paths, found)
        answers = self.postprocess(paths, asked, found)
        return answers[0] if single_file and single_question else answers

    def postprocess(self, files: Sequence[str], questions: Sequence[str], found: Sequence) -> list[Answer]:
        """Answers of what was found for each file and question."""
        return [Answer(file, question, *one) for file, question, one in zip(files, questions, found)]


def _check_questions(asked: Sequence[str]) -> None:
    if not asked:
        raise ValueError('no question is asked')
    for question in asked:
        if not isinstance(question, str):
            raise TypeError(f'the question {question!r} must be a text')
        if not question.strip():
            raise ValueError(f'the question {question!r} is empty')
        check_readable(question, 'the question')


def _checked_list(answers: Sequence[str]) -> list[str]:
    answers = [answers] if isinstance(answers, str) else list(answers)
    if len(set(answers)) < 2 or not all(isinstance(text, str) and text.strip() for text in answers):
        raise ValueError(f'answers={answers!r}; a closed list holds two texts or more')
    return list(dict.fromkeys(answers))


def _list_of(dataset: dict, name: str) -> list[str]:
    """The closed list of a config's test set, of which nothing else is read.

    Raises:
        ValueError: It has none.
    """
    built = DATASETS.build(dict(dataset, lazy_init=True))
    found = built.read_answer_list() if isinstance(built, BaseQA) else None
    if found is None:
        raise ValueError(
            f'{name}: this model chooses from a closed list, and its test set has none; give answers=[…], or '
            "inference='generate'"
        )
    return found
