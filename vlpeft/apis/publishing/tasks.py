"""What a trained model is for, in words and by the hub's names."""

from typing import NamedTuple

from .facts import Facts


class Task(NamedTuple):
    """A kind of task: a sentence, a short name, a tag, and the hub's name for it where it has one."""

    purpose: str
    name: str
    tag: str
    pipeline: str | None = None


RETRIEVAL = Task(
    'Finds videos or images by a text, and texts by a video or image.', 'Text-video retrieval', 'text-video-retrieval'
)
ANSWERS = Task(
    'Answers questions about images or videos.',
    'Visual question answering',
    'visual-question-answering',
    'visual-question-answering',
)
CAPTIONS = Task('Describes images, videos or sounds.', 'Captioning', 'captioning', 'image-to-text')
CHAT = Task(
    'Answers in conversations about images or videos.', 'Conversation', 'image-text-to-text', 'image-text-to-text'
)
OTHER = Task('A vision-language model with trained parts.', 'Vision and language', 'vision-language')


def task_of(facts: Facts) -> Task:
    """What the model of a card is for."""
    if facts.captions:
        return CAPTIONS
    kinds = dict(Retriever=RETRIEVAL, GenerativeVQA=ANSWERS, VLSeq2Seq=ANSWERS, PerceptualLM=ANSWERS, ImageTextLM=CHAT)
    return kinds.get(facts.kind, OTHER)
