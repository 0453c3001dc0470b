"""What each kind of task computes, pass by pass: the parts of inference, and the training step."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlpeft.models.backbones import AST, CrossContext, SelfCache
from vlpeft.models.continuation import Continuation
from vlpeft.models.precision import at_least_float32
from vlpeft.models.tasks import GenerativeVQA, ImageTextLM, PerceptualLM, Retriever, VLSeq2Seq
from vlpeft.sites import CACHE, argument_name, shapes_suffice
from vlpeft.sites.probe import zeros

from .flop_inputs import Sizes, device_of, picture_tokens, pixels, samples, tokens

#: Where transformers holds an image-text-to-text model's towers beside each other.
INNER = 'model'


class FlopError(ValueError):
    """A model of which no passes are known, or that cannot be run without values."""


class Pass(NamedTuple):
    """A part of inference: its name, what one of it is for, and what runs it, after those before it."""

    name: str
    of: str
    run: Callable[[], Any]


def passes(model: nn.Module, sizes: Sizes) -> list[Pass]:
    """The passes of inference of a model on ``meta``, in order; a pass goes on from those before it.

    Raises:
        FlopError: Of a task that is not known here.
    """
    return list(_known(model)[0](model, sizes))


def training_loss(model: nn.Module, sizes: Sizes, attention: str = 'eager') -> Tensor:
    """The loss of a training step.

    Args:
        model: On ``meta``, or with weights.
        sizes: Of the samples.
        attention: How models of transformers on ``meta`` compute it (:func:`~vlpeft.sites.shapes_suffice`).

    Raises:
        FlopError: Of a task that is not known here.
    """
    return _known(model)[1](model, sizes, attention)


def sizes_read(model: nn.Module) -> tuple[str, ...]:
    """Fields of :class:`Sizes` that decide what a model computes. Errors: :func:`passes`."""
    return _known(model)[2]


def _known(model: nn.Module) -> tuple[Callable, Callable, tuple[str, ...]]:
    for kind, found in TASKS.items():
        if isinstance(model, kind):
            return found
    raise FlopError(
        f'{type(model).__name__}: its passes are not known; known are '
        f'{", ".join(kind.__name__ for kind in TASKS)} and classes of these'
    )


def _search(beams: int, length: int | None = None) -> str:
    limit = '' if length is None else f' of at most {length} tokens'
    return (f'there are {beams} beams' if beams > 1 else 'there is one beam') + limit


def _retriever(model: Retriever, sizes: Sizes) -> Iterator[Pass]:
    state: dict[str, Any] = {}
    clip, text = pixels(model.vision, 1, sizes.frames), tokens(model, 1, sizes.text)

    def see() -> None:
        state['clip'] = model.encode_vision(clip)

    def read() -> None:
        state['text'] = model.encode_text(text)

    def project() -> None:
        state['context'] = model.text.project_context(state['clip'].tokens.flatten(1, 2))

    def match() -> None:
        weights = model.key_weights(state['text'], state['clip'].frames, state['clip'].tokens.shape[2])
        model.itm_head(model.match(text, CrossContext(state['context'], key_weights=weights)))

    yield Pass('clip features', f'a clip of {sizes.frames} frames', see)
    yield Pass('text features', f'a text of {sizes.text} tokens', read)
    if model.matches:
        yield Pass('re-ranking: keys and values', 'a clip, once for all its texts', project)
        yield Pass('re-ranking: matching', 'a pair of text and clip', match)


def _vqa(model: GenerativeVQA, sizes: Sizes) -> Iterator[Pass]:
    state: dict[str, Any] = {}
    clip, question = pixels(model.vision, 1, sizes.frames), tokens(model, 1, sizes.text)

    def read() -> None:
        state['question'] = model.encode_question(clip, question)

    def decode(length: int, before: int = 0) -> None:
        ids, mask = tokens(model, 1, length).ids, tokens(model, 1, before + length).mask
        context = state['question'].take(torch.zeros(1, dtype=torch.long, device=ids.device))
        model.decoder(ids, mask, context, state['cache'])

    def start() -> None:
        state['cache'] = SelfCache()
        decode(1)

    yield Pass('question', f'a clip of {sizes.frames} frames with a question of {sizes.text} tokens', read)
    yield Pass('first token', 'a question', start)
    if model.inference == 'rank':
        of = f'an answer of {sizes.answer} tokens; of each question {model.shortlist} are ranked'
        # The last token is only predicted.
        yield Pass('an answer after its first token', of, lambda: decode(max(sizes.answer - 2, 1), 1))
    else:
        of = f'the second token of a beam; {_search(model.beams, model.max_answer_length)}'
        yield Pass('a further token', of, lambda: decode(1, 1))


def _seq2seq(model: VLSeq2Seq, sizes: Sizes) -> Iterator[Pass]:
    from transformers.cache_utils import DynamicCache, EncoderDecoderCache

    state: dict[str, Any] = {}
    images, text, start = _features(model, sizes, 1), tokens(model, 1, sizes.text), tokens(model, 1, 1).ids
    beams = model.tasks[sizes.task].decoding['num_beams']

    def encode() -> None:
        with shapes_suffice(model.lm):
            state['encoded'] = model.read(model.features(images), text)

    def begin() -> None:
        state['cache'] = EncoderDecoderCache(DynamicCache(), DynamicCache())
        decode()

    def decode() -> None:
        with shapes_suffice(model.lm):
            model.lm(
                encoder_outputs=(state['encoded'].states,),
                decoder_input_ids=start,
                use_cache=True,
                **{argument_name(model.lm, CACHE): state['cache']},
            )

    cells = model.visual_embedding.cells * sizes.images
    yield Pass('encoder', f'a text of {sizes.text} tokens and {cells} vision tokens', encode)
    yield Pass('first token', 'a text', begin)
    yield Pass('a further token', f'the second token of a beam; {_search(beams)}', decode)


def _features(model: VLSeq2Seq, sizes: Sizes, batch: int) -> Tensor:
    if model.vision is not None:
        return pixels(model.vision, batch, sizes.images)
    embedding = model.visual_embedding
    return zeros(embedding, batch, sizes.images, embedding.cells, embedding.feature[0].in_features)


def _perceptual(model: PerceptualLM, sizes: Sizes) -> Iterator[Pass]:
    state: dict[str, Any] = {}
    seen, prompt = _sensed(model, sizes, 1), tokens(model, 1, sizes.text)
    task = model.tasks[sizes.task]

    def see() -> None:
        state['vectors'] = model.perceive(seen)

    def read() -> None:
        with shapes_suffice(model.lm):
            state['step'] = Continuation(model.reader, prompt, model.lead(state['vectors']), 1)
            state['step'](prompt.ids[:, -1:], None)

    def extend() -> None:
        with shapes_suffice(model.lm):
            state['step'](tokens(model, 1, 2).ids, torch.zeros(1, dtype=torch.long, device=device_of(model)))

    if model.encoder is not None:
        yield Pass('encoder', _sense(seen), see)
    else:
        state['vectors'] = None
    yield Pass('prompt and first token', f'a prompt of {sizes.text} tokens', read)
    of = f'the second token of a beam; {_search(task.num_beams, task.max_new_tokens)}'
    yield Pass('a further token', of, extend)


def _sensed(model: PerceptualLM, sizes: Sizes, batch: int) -> Tensor:
    encoder = model.encoder
    if encoder is None:
        return zeros(model, batch, 1)
    if isinstance(encoder, AST):
        bins, frames = encoder.img_size
        return zeros(encoder, batch, 1, frames, bins)
    return pixels(encoder, batch, sizes.frames)


def _sense(seen: Tensor) -> str:
    if seen.ndim == 4:
        return f'a spectrogram of {seen.shape[2]} frames'
    return f'{seen.shape[1]} frame{"s" * (seen.shape[1] > 1)} of {seen.shape[3]} x {seen.shape[4]} pixels'


def _image_text(model: ImageTextLM, sizes: Sizes) -> Iterator[Pass]:
    state: dict[str, Any] = {}
    task = model.tasks[sizes.task]

    def see() -> None:
        state['rows'] = picture_tokens(model, sizes)

    def read() -> None:
        from transformers.cache_utils import DynamicCache

        state['cache'] = DynamicCache()
        go_on(state['rows'][None], sizes.text)

    def go_on(rows: Tensor | None, words: int) -> None:
        model.vlm.get_output_embeddings()(_read(model, rows, words, 1, state['cache'])[:, -1:])

    count = sizes.images * sizes.picture_tokens
    yield Pass('pictures', f'{sizes.images} of {sizes.picture_tokens} tokens', see)
    yield Pass('prompt and first token', f'{count} tokens of pictures and {sizes.text} of text', read)
    of = f'the second token of a beam; {_search(task.num_beams, task.max_new_tokens)}'
    yield Pass('a further token', of, lambda: go_on(None, 1))


def _read(
    model: ImageTextLM, rows: Tensor | None, words: int, batch: int, cache: Any = None, attention: str = 'eager'
) -> Tensor:
    """Last states (B, L, D) of the language model behind pictures (B, R, W) and words."""
    body = model.towers['lm'].module
    with shapes_suffice(model.vlm, attention):
        embeddings = model.vlm.get_input_embeddings()(tokens(model, batch, words).ids)
        if rows is not None:
            embeddings = torch.cat([rows.to(embeddings.dtype), embeddings], 1)
        passed = {} if cache is None else {argument_name(body, CACHE): cache}
        return body(inputs_embeds=embeddings, use_cache=cache is not None, **passed)[0]


def _image_text_loss(model: ImageTextLM, sizes: Sizes, attention: str) -> Tensor:
    rows = picture_tokens(model, replace(sizes, images=sizes.batch * sizes.images), attention)
    rows = rows.unflatten(0, (sizes.batch, -1))
    states = _read(model, rows, sizes.text + sizes.answer, sizes.batch, attention=attention)
    # The loss is of answers alone, and so are the logits.
    logits = model.vlm.get_output_embeddings()(states[:, -sizes.answer :].flatten(0, 1))
    return functional.cross_entropy(at_least_float32(logits), tokens(model, 1, len(logits)).ids[0])


def _own_loss(inputs: Callable[[nn.Module, Sizes, int], Tensor]) -> Callable[[nn.Module, Sizes, str], Tensor]:
    """That of the model's own code."""

    def loss(model: nn.Module, sizes: Sizes, attention: str) -> Tensor:
        with shapes_suffice(getattr(model, 'lm', model), attention):
            losses = model(inputs(model, sizes, sizes.batch), samples(sizes), mode='loss')
        return sum(losses.values())

    return loss


def _clips(model: nn.Module, sizes: Sizes, batch: int) -> Tensor:
    return pixels(model.vision, batch, sizes.frames)


#: Passes, training loss, and the fields of :class:`Sizes` that they read.
TASKS = {
    Retriever: (_retriever, _own_loss(_clips), ('frames', 'text', 'batch')),
    GenerativeVQA: (_vqa, _own_loss(_clips), ('frames', 'text', 'answer', 'batch')),
    VLSeq2Seq: (_seq2seq, _own_loss(_features), ('images', 'text', 'answer', 'batch', 'task')),
    PerceptualLM: (_perceptual, _own_loss(_sensed), ('frames', 'text', 'answer', 'batch', 'task')),
    # What a sample costs there does not depend on the others of its batch.
    ImageTextLM: (_image_text, _image_text_loss, ('images', 'text', 'answer', 'picture_tokens', 'task')),
}
