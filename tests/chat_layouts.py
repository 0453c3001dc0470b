"""The same conversation as people write it: in the five layouts of chat files, with or without what was forgotten."""

import base64
from pathlib import Path

LAYOUTS = ('ms-swift', 'LLaMA-Factory', 'LLaVA', 'TRL', 'OpenAI')
#: Conversations: turns of (role, text, number of images that stand before it) and the images that they show.
CONTENTS = {
    'one image': ([('user', 'what colour is it ?', 1), ('assistant', 'red', 0)], ['a.png']),
    'two images': ([('user', 'is it a picture ?', 2), ('assistant', 'yes', 0)], ['a.png', 'b.png']),
    'none': ([('user', 'what are you ?', 0), ('assistant', 'a model', 0)], []),
    'several turns': (
        [
            ('system', 'describe', 0),
            ('user', 'what colour is it ?', 1),
            ('assistant', 'red', 0),
            ('user', 'what is the image ?', 1),
            ('assistant', 'a blue picture\nof it', 0),
        ],
        ['a.png', 'b.png'],
    ),
}


def turns_of(turns) -> list[dict]:
    """The turns as `vlpeft.chat` has them."""
    return [
        dict(role=role, content=[dict(type='image')] * images + [dict(type='text', text=text)])
        for role, text, images in turns
    ]


def written(layout: str, turns, images, folder=None) -> dict:
    """A record of a chat file; OpenAI's holds the images themselves, as they are in `folder`."""
    if layout == 'OpenAI':
        left = iter(images)
        messages = [
            dict(
                role=role,
                content=[
                    *(
                        dict(type='image_url', image_url=dict(url=data_url(Path(folder) / next(left))))
                        for _ in range(count)
                    ),
                    dict(type='text', text=text),
                ],
            )
            for role, text, count in turns
        ]
        return dict(messages=messages)
    if layout == 'TRL':
        return dict(messages=turns_of(turns), images=images)
    if layout == 'ms-swift':
        return dict(messages=[dict(role=role, content='<image>' * n + text) for role, text, n in turns], images=images)
    roles = dict(system='system', user='human', assistant='gpt')
    mark = '<image>\n' if layout == 'LLaVA' else '<image>'
    said = [{'from': roles[role], 'value': mark * count + text} for role, text, count in turns]
    if layout == 'LLaVA':
        return dict(id='7', conversations=said, **dict(image=images) if images else {})
    return dict(conversations=said, images=images)


def data_url(path: Path) -> str:
    """A file as a `data:` URL; of one that is not there, of its name."""
    content = path.read_bytes() if path.is_file() else path.name.encode()
    return f'data:image/png;base64,{base64.b64encode(content).decode()}'
