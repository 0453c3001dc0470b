"""Sets with one planted fault of each kind, and configs of their loaders."""

import json

from tests import media

LOAD = [dict(type='LoadClip', num_frames=4), dict(type='PackSample')]


def write_lines(path, records):
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))


def loader(kind, folder, file, **kwargs):
    settings = dict(type=kind, data_root=str(folder), ann_file=file, pipeline=LOAD)
    return dict(batch_size=2, dataset=dict(settings, **kwargs))


def good_config(folder, count=6):
    """Images with captions in training and test, nothing wrong with them."""
    for split, begin in (('train', 0), ('test', 100)):
        for number in range(count):
            media.write_image(folder / f'{split}{number}.png', seed=begin + number)
        write_lines(
            folder / f'{split}.jsonl',
            [dict(image=f'{split}{number}.png', caption=f'{split} text {number}') for number in range(count)],
        )
    test = loader('JSONLRetrieval', folder, 'test.jsonl', test_mode=True)
    return dict(
        train_dataloader=loader('JSONLRetrieval', folder, 'train.jsonl'), val_dataloader=test, test_dataloader=test
    )


def add(folder, split, **record):
    with open(folder / f'{split}.jsonl', 'a') as file:
        file.write(json.dumps(record) + '\n')
