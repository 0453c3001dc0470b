"""Stored features come out as they were stored, and what is wrong with a file is named."""

import math
import multiprocessing
import os
import pickle
import sys

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from vlpeft.datasets import BaseClips, UnreadableClipsError
from vlpeft.datasets.readers import ClipError, HDF5Reader, NPZReader, PackedHDF5Reader
from vlpeft.datasets.transforms import LoadFeatures
from vlpeft.registry import READERS

CELLS, DIMS = 4, 6
NAMES = ['COCO_train2014_000000000009', '2370799', 'train-10171-0-img0', 'Zürich']


def stored(name: str, shape=(CELLS, DIMS), dtype=np.float16) -> np.ndarray:
    """The features of a name."""
    return np.random.default_rng(list(name.encode())).standard_normal(shape).astype(dtype)


def write_files(root):
    """As released: a group named like the file, in it ``features``."""
    for name in NAMES:
        with h5py.File(root / f'{name}.h5', 'w') as file:
            file[f'{name}/features'] = stored(name)
    return str(root)


def write_packed(path, done=(1, 1, 1, 1), **changed):
    """The documented layout, by hand."""
    content = dict(
        features=np.stack([stored(name) for name in NAMES]),
        names=[name.encode() for name in NAMES],
        done=np.array(done, np.uint8),
    )
    with h5py.File(path, 'w') as file:
        for key, value in {**content, **changed}.items():
            if value is not None:
                file[key] = value
    return str(path)


def write_videos(root):
    for name in NAMES:
        np.savez_compressed(root / f'{name}.npz', features=stored(name, dtype=np.float32), times=np.arange(3))
    return str(root)


def fails(reader, name, *words):
    """Check the error of a read; returns it."""
    with pytest.raises(ClipError) as caught:
        reader.read(name)
    assert [word for word in words if word not in str(caught.value)] == []
    return caught.value


def test_each_reader_returns_what_is_stored(tmp_path):
    (tmp_path / 'videos').mkdir()
    configs = [
        dict(type='HDF5Reader', root=write_files(tmp_path)),
        dict(type='PackedHDF5Reader', file=write_packed(tmp_path / 'all.hdf5')),
        dict(type='NPZReader', root=write_videos(tmp_path / 'videos')),
    ]
    for config, dtype in zip(configs, (np.float16, np.float16, np.float32)):
        reader = READERS.build(dict(config, shape=(CELLS, None)))
        for name in [*NAMES, NAMES[0]]:
            features = reader.read(name)
            assert features.dtype == dtype and features.flags.writeable
            np.testing.assert_array_equal(features, stored(name, dtype=dtype))


def test_errors_of_files(tmp_path):
    root = write_files(tmp_path)
    reader = HDF5Reader(root)
    error = fails(reader, 'unknown', 'no such file', 'files there: ', '.h5, …')
    assert error.path == os.path.join(root, 'unknown.h5')
    os.rename(tmp_path / '2370799.h5', tmp_path / 'other.h5')
    fails(reader, 'other', "no dataset 'other/features'", '2370799/features')
    (tmp_path / 'text.h5').write_text('<html>404</html>')
    fails(reader, 'text', 'not a readable *.h5 file')
    (tmp_path / 'empty.h5').touch()
    fails(reader, 'empty', 'the file is empty')
    whole = (tmp_path / f'{NAMES[0]}.h5').read_bytes()
    (tmp_path / f'{NAMES[0]}.h5').write_bytes(whole[:-10])
    fails(reader, NAMES[0], 'truncated')
    fails(reader, '../secret', "'../secret' is a path")
    fails(HDF5Reader(str(tmp_path / 'none')), 'a', 'no such file', f'there is no folder {tmp_path / "none"}')
    fails(NPZReader(root), 'a', 'no such file', 'no *.npz')


@pytest.mark.parametrize(
    'array, found',
    [
        (np.zeros((CELLS, DIMS + 1), np.float16), f'({CELLS}, {DIMS + 1}) and type float16'),
        (np.zeros((CELLS, DIMS), np.int32), 'int32'),
        (np.zeros(DIMS, np.float16), f'({DIMS},)'),
        (np.zeros((0, DIMS), np.float16), f'(0, {DIMS})'),
    ],
)
def test_a_wrong_shape_is_an_error(tmp_path, array, found):
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['a/features'] = array
    np.savez(tmp_path / 'a.npz', features=array)
    for reader in (HDF5Reader(str(tmp_path), (None, DIMS)), NPZReader(str(tmp_path), (None, DIMS))):
        fails(reader, 'a', found, f'expected floats (any cells, {DIMS} dims)')


def test_errors_of_videos(tmp_path):
    np.savez(tmp_path / 'a.npz', frames=np.zeros((2, 3)), times=np.zeros(2))
    fails(NPZReader(str(tmp_path)), 'a', "no array 'features'", 'frames, times')
    np.savez(tmp_path / 'pickled.npz', features=np.array([dict()]))
    (tmp_path / 'text.npz').write_text('<html>404</html>')
    (tmp_path / 'empty.npz').touch()
    write_videos(tmp_path)
    whole = (tmp_path / '2370799.npz').read_bytes()
    (tmp_path / 'cut.npz').write_bytes(whole[:60])
    (tmp_path / 'damaged.npz').write_bytes(whole[:70] + bytes(40) + whole[110:])
    fails(NPZReader(str(tmp_path)), 'pickled', 'type object, expected floats')
    for name in ('text', 'cut', 'damaged'):
        fails(NPZReader(str(tmp_path)), name, 'not a readable *.npz file')
    fails(NPZReader(str(tmp_path)), 'empty', 'the file is empty')


def test_errors_of_a_packed_file(tmp_path):
    reader = PackedHDF5Reader(write_packed(tmp_path / 'all.h5', done=(1, 1, 0, 1)))
    error = fails(reader, 'unknown', 'no such name', 'holds 4 names such as', *NAMES[:3])
    assert error.path == f'{tmp_path / "all.h5"}[unknown]'
    fails(reader, NAMES[2], 'not stored yet: 3 of 4 are')
    assert reader.names() == [NAMES[0], NAMES[1], NAMES[3]]
    fails(PackedHDF5Reader(str(tmp_path / 'none.h5')), 'a', 'no such file')
    fails(PackedHDF5Reader(str(tmp_path / 'all.h5'), shape=(36, DIMS)), 'a', f'({CELLS}, {DIMS})', '(36 cells')
    (tmp_path / 'text.h5').write_text('<html>404</html>')
    fails(PackedHDF5Reader(str(tmp_path / 'text.h5')), 'a', 'not a readable HDF5 file')
    without = write_packed(tmp_path / 'without.h5', names=None)
    fails(PackedHDF5Reader(without), 'a', "no dataset 'names'", 'this one done, features')
    chunked = write_packed(tmp_path / 'chunked.h5', features=None)
    with h5py.File(chunked, 'a') as file:
        file.create_dataset('features', (4, CELLS, DIMS), 'f2', chunks=(1, CELLS, DIMS))
    fails(PackedHDF5Reader(chunked), 'a', 'chunked or compressed')
    whole = (tmp_path / 'all.h5').read_bytes()
    (tmp_path / 'cut.h5').write_bytes(whole[:-10])
    fails(PackedHDF5Reader(str(tmp_path / 'cut.h5')), NAMES[0], 'truncated')
    reader = PackedHDF5Reader(write_packed(tmp_path / 'cut_later.h5'))
    with h5py.File(reader.file) as file:
        end = file['features'].id.get_offset() + 2 * CELLS * DIMS * 2
    reader.read(NAMES[1])
    os.truncate(reader.file, end - 1)
    np.testing.assert_array_equal(reader.read(NAMES[0]), stored(NAMES[0]))
    fails(reader, NAMES[1], 'truncated')


def test_without_h5py_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ImportError, match=r'pip install h5py'):
        HDF5Reader(str(tmp_path)).read('a')


def handles(path) -> list[int]:
    """Descriptors by which this process has the file open."""
    links = [f'/proc/self/fd/{number}' for number in os.listdir('/proc/self/fd')]
    same = [link for link in links if os.path.realpath(link) == os.path.realpath(path)]
    return [int(os.path.basename(link)) for link in same]


class Rows(Dataset):
    """Sum of a name's features and how often the reading process has the file open."""

    def __init__(self, reader):
        self.reader = reader

    def __len__(self):
        return 40

    def __getitem__(self, index):
        features = self.reader.read(NAMES[index % 4])
        return [float(features.astype(np.float64).sum()), len(handles(self.reader.file))]


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='counts open files as Linux lists them')
def test_a_packed_file_is_opened_once_by_each_process_that_reads(tmp_path):
    reader = PackedHDF5Reader(write_packed(tmp_path / 'all.h5'))
    rows = Rows(reader)
    expected = [[float(stored(NAMES[index % 4]).astype(np.float64).sum()), 1] for index in range(40)]
    fork = dict(batch_size=None, num_workers=2, multiprocessing_context=multiprocessing.get_context('fork'))
    assert list(DataLoader(rows, **fork)) == expected
    assert handles(reader.file) == []
    assert [rows[index] for index in range(40)] == expected
    copy = pickle.loads(pickle.dumps(reader))
    assert len(handles(reader.file)) == 1
    np.testing.assert_array_equal(copy.read(NAMES[3]), stored(NAMES[3]))
    del copy
    # Workers that inherit the open file share its position, which nobody may move or use.
    assert list(DataLoader(rows, **fork)) == expected
    os.lseek(handles(reader.file)[0], 5, os.SEEK_SET)
    assert rows[3] == expected[3]
    assert os.lseek(handles(reader.file)[0], 0, os.SEEK_CUR) == 5


def test_load_features_stacks_images(tmp_path):
    load = LoadFeatures(dict(type='HDF5Reader', root=write_files(tmp_path)))
    one = load(dict(name=NAMES[1]))['features']
    assert one.dtype == torch.float16 and one.shape == (1, CELLS, DIMS)
    two = load(dict(name='pair', names=[NAMES[2], NAMES[0]]))['features']
    np.testing.assert_array_equal(two, np.stack([stored(NAMES[2]), stored(NAMES[0])]))
    with h5py.File(tmp_path / 'small.h5', 'w') as file:
        file['small/features'] = np.zeros((3, DIMS), np.float16)
    with pytest.raises(ClipError, match=rf'small: its features have shape \(3, {DIMS}\), those of 2370799'):
        load(dict(names=[NAMES[1], 'small']))


@pytest.mark.parametrize('frames', [1, 63, 64, 65, 100, 128, 150, 641])
@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_load_features_brings_a_video_to_64_rows(tmp_path, frames, dtype):
    features = stored('video', (frames, 5), dtype) - 4  # mostly below 0, so that zeros in a maximum would show
    np.savez(tmp_path / 'video.npz', features=features)
    expected = np.zeros((64, 5), dtype)
    for row in range(64):
        if frames <= 64:
            expected[row] = features[row] if row < frames else 0
        else:
            first, end = math.floor(row * frames / 64), math.ceil((row + 1) * frames / 64)
            expected[row] = features[first:end].max(axis=0)
    loaded = LoadFeatures(dict(type='NPZReader', root=str(tmp_path)), length=64)(dict(name='video'))['features']
    assert loaded.shape == (1, 64, 5) and loaded.is_contiguous()
    assert loaded.numpy().dtype == dtype
    np.testing.assert_array_equal(loaded[0], expected)


class Named(BaseClips):
    """Samples of given names."""

    def load_samples(self):
        return [dict(name=name) for name in [*NAMES, 'gone-1', 'gone-2']]


def test_missing_features_are_unreadable_samples(tmp_path):
    pipeline = [dict(type='LoadFeatures', reader=dict(type='PackedHDF5Reader', file=write_packed(tmp_path / 'all.h5')))]
    (tmp_path / 'a.json').write_text('[]')
    settings = dict(ann_file=str(tmp_path / 'a.json'), pipeline=pipeline)
    samples = Named(**settings, max_unreadable=1.0)
    assert samples[0]['name'] == NAMES[0]
    assert samples[4]['name'] in NAMES and samples[5]['name'] in NAMES
    assert {path.rpartition('[')[2] for path in samples.unreadable.reasons} == {'gone-1]', 'gone-2]'}
    with pytest.raises(UnreadableClipsError, match=r'all.h5\[gone-1\]: no such name'):
        Named(**settings, max_unreadable=0)[4]
    with pytest.raises(ClipError, match=r'all.h5\[gone-2\]: no such name'):
        Named(**settings, test_mode=True)[5]
