"""Files of features: written whole or not at all, continued after a kill, extended, never mixed."""

import multiprocessing
import os
import signal
import tempfile
import time
import zlib
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from vlpeft.datasets.features_file import FeatureFolder, PackedFeatures, file_origin, folder_origin, stored_names
from vlpeft.datasets.readers import ClipError, HDF5Reader, PackedHDF5Reader

SHAPE = (4, 6)
MADE_BY = dict(model='a', size=224, mean=(1.5, 2.5))


def pattern(name: str, dtype=np.float16) -> np.ndarray:
    return np.random.default_rng(list(name.encode())).standard_normal(SHAPE).astype(dtype)


def write(writer, names):
    writer.write(names, np.stack([pattern(name) for name in names]))


def check(reader, names):
    for name in names:
        np.testing.assert_array_equal(reader.read(name), pattern(name))


def test_a_folder_is_as_released(tmp_path):
    with closing(FeatureFolder(tmp_path / 'deep/folder', MADE_BY)) as writer:
        assert writer.missing(['b', 'a', 'c']) == ['b', 'a', 'c']
        write(writer, ['b', 'a'])
        assert writer.missing(['b', 'a', 'c']) == ['c']
    with h5py.File(tmp_path / 'deep/folder/a.h5') as file:
        assert list(file) == ['a'] and list(file['a']) == ['features']
        assert file['a/features'].dtype == np.float16
        np.testing.assert_array_equal(file['a/features'][()], pattern('a'))
    assert sorted(os.listdir(tmp_path / 'deep/folder')) == ['a.h5', 'b.h5', 'extraction.json']
    assert FeatureFolder(tmp_path / 'deep/folder', MADE_BY).missing(['b', 'a', 'c']) == ['c']
    assert folder_origin(tmp_path / 'deep/folder') == dict(MADE_BY, mean=[1.5, 2.5])


def test_a_packed_file_holds_the_documented_layout(tmp_path):
    names = ['x', 'Zürich', 'train-10171-0-img0']
    with closing(PackedFeatures(tmp_path / 'new/all.h5', names, SHAPE, MADE_BY)) as writer:
        write(writer, ['train-10171-0-img0', 'x'])
    with h5py.File(tmp_path / 'new/all.h5') as file:
        assert set(file) == {'features', 'names', 'done', 'crc'}
        assert file['features'].shape == (3, *SHAPE) and file['features'].dtype == np.float16
        assert file['features'].chunks is None
        assert [name.decode() for name in file['names'][()]] == names
        assert file['done'][()].tolist() == [1, 0, 1]
        np.testing.assert_array_equal(file['features'][2], pattern('train-10171-0-img0'))
        assert file['crc'][2] == zlib.crc32(b'train-10171-0-img0' + pattern('train-10171-0-img0').tobytes())
    assert file_origin(tmp_path / 'new/all.h5') == dict(MADE_BY, mean=[1.5, 2.5])
    assert os.listdir(tmp_path / 'new') == ['all.h5']


def test_a_packed_file_is_extended(tmp_path):
    path, many = tmp_path / 'all.h5', [f'n{number}' for number in range(600)]  # more than a block
    with closing(PackedFeatures(path, many, SHAPE, MADE_BY)) as writer:
        write(writer, many[:590])
    with closing(PackedFeatures(path, ['a much longer name', 'n3', 'n595'], SHAPE, MADE_BY)) as writer:
        assert writer.missing([*many, 'a much longer name']) == [*many[590:], 'a much longer name']
        write(writer, ['a much longer name', 'n595'])
    reader = PackedHDF5Reader(str(path))
    assert reader.names() == [*many[:590], 'n595', 'a much longer name']
    check(reader, reader.names())


def test_float32_stays_float32(tmp_path):
    features = pattern('a', np.float32)
    with (
        closing(FeatureFolder(tmp_path / 'f', {})) as files,
        closing(PackedFeatures(tmp_path / 'p.h5', ['a'], SHAPE, {}, 'float32')) as packed,
    ):
        files.write(['a'], features[None])
        packed.write(['a'], features[None])
    for reader in (HDF5Reader(str(tmp_path / 'f')), PackedHDF5Reader(str(tmp_path / 'p.h5'))):
        np.testing.assert_array_equal(reader.read('a'), features)
        assert reader.read('a').dtype == np.float32


def test_features_made_in_another_way_are_not_mixed(tmp_path):
    other = dict(MADE_BY, size=448)
    with (
        closing(FeatureFolder(tmp_path / 'f', MADE_BY)) as files,
        closing(PackedFeatures(tmp_path / 'p.h5', ['a'], SHAPE, MADE_BY)) as packed,
    ):
        for writer in (files, packed):
            write(writer, ['a'])
    for make in (
        lambda: FeatureFolder(tmp_path / 'f', other),
        lambda: PackedFeatures(tmp_path / 'p.h5', ['a'], SHAPE, other),
    ):
        with pytest.raises(ValueError, match='made in another way.*\n  size: there 224, now 448$'):
            make()
    with pytest.raises(ValueError, match=r'\(4, 6\) float16, not \(36, 6\) float16'):
        PackedFeatures(tmp_path / 'p.h5', ['a'], (36, 6), MADE_BY)
    os.unlink(tmp_path / 'f/extraction.json')  # as released: nobody knows
    with pytest.raises(ValueError, match='model: there None, now a'):
        FeatureFolder(tmp_path / 'f', MADE_BY)
    with pytest.raises(ValueError, match='no packed file that these tools made'):
        PackedFeatures(tmp_path / 'f/a.h5', ['a'], SHAPE, MADE_BY)
    check(HDF5Reader(str(tmp_path / 'f')), 'a')
    check(PackedHDF5Reader(str(tmp_path / 'p.h5')), 'a')


def read_packed(path, name):
    return PackedHDF5Reader(str(path)).read(name)


def test_one_process_writes_a_packed_file_and_others_may_read(tmp_path):
    path = tmp_path / 'p.h5'
    with (
        multiprocessing.get_context('fork').Pool(1) as other,
        closing(PackedFeatures(path, ['a', 'b'], SHAPE, MADE_BY)) as writer,
    ):
        write(writer, ['a'])
        np.testing.assert_array_equal(other.apply(read_packed, (path, 'a')), pattern('a'))
        with pytest.raises(ValueError, match='p.h5 is being written by another process'):
            other.apply(PackedFeatures, (path, ['a', 'b'], SHAPE, MADE_BY))
        write(writer, ['b'])
    check(PackedHDF5Reader(str(path)), 'ab')


NAMES = [f'image-{number:05d}' for number in range(3000)]


def open_writer(layout, path):
    return FeatureFolder(path, MADE_BY) if layout == 'files' else PackedFeatures(path, NAMES, SHAPE, MADE_BY)


def write_on(layout, path):
    """Write what is missing, three at a time."""
    with closing(open_writer(layout, path)) as writer:
        todo = writer.missing(NAMES)
        for start in range(0, len(todo), 3):
            write(writer, todo[start : start + 3])


@pytest.mark.parametrize('layout', ['files', 'packed'])
def test_killed_again_and_again_it_loses_nothing(tmp_path, layout):
    path, before = tmp_path / 'all.h5', 0
    for delay in (0.02, 0.05, 0.03, 0.08, 0.04):
        process = multiprocessing.get_context('fork').Process(target=write_on, args=(layout, path))
        process.start()
        # The structure appears first; the kill then hits a write.
        while not path.exists():
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        reader = HDF5Reader(str(path)) if layout == 'files' else PackedHDF5Reader(str(path))
        done = stored_names(path) if layout == 'files' else reader.names()
        check(reader, done)
        assert done == NAMES[: len(done)] and before <= len(done) < len(NAMES)
        with closing(open_writer(layout, path)) as writer:
            assert writer.missing(NAMES) == NAMES[len(done) :]
        before = len(done)
    assert before > 0


def test_flipped_bits_of_features_and_names_are_found(tmp_path):
    """Every bit that changes what a name gives: the name is then unknown, or the row is damaged."""
    path, names = tmp_path / 'all.h5', ['one', 'two', 'six']
    with closing(PackedFeatures(path, names, SHAPE, MADE_BY)) as writer:
        write(writer, names[:2])
    with closing(FeatureFolder(tmp_path / 'single', MADE_BY)) as writer:
        write(writer, names[:1])
    rng = np.random.default_rng(0)
    for file, reader, spans in (
        (
            path,
            lambda damaged: PackedHDF5Reader(str(damaged)),
            [pattern('one').tobytes(), pattern('two').tobytes(), b'onetwosix'],
        ),
        (tmp_path / 'single/one.h5', lambda damaged: HDF5Reader(str(damaged.parent)), [pattern('one').tobytes()]),
    ):
        whole = file.read_bytes()
        for span in spans:
            assert whole.count(span) == 1
            for place in whole.index(span) + rng.integers(len(span), size=20):
                damaged = bytearray(whole)
                damaged[place] ^= 1 << rng.integers(8)
                # A place of its own: HDF5 shares what it remembers of a file among all that have it open.
                target = Path(tempfile.mkdtemp(dir=tmp_path)) / file.name
                target.write_bytes(damaged)
                found = []
                for name in names[:2] if file == path else names[:1]:
                    try:
                        np.testing.assert_array_equal(reader(target).read(name), pattern(name))
                    except ClipError:
                        found.append(name)
                assert found or span == b'onetwosix' and place >= whole.index(span) + 6, place  # 'six' has no features


def test_files_without_checksums_are_read_and_get_them_when_they_grow(tmp_path):
    path = tmp_path / 'all.h5'
    with closing(PackedFeatures(path, ['a', 'b'], SHAPE, MADE_BY)) as writer:
        write(writer, ['a'])
    with h5py.File(path, 'r+') as file:
        del file['crc']
    with closing(PackedFeatures(path, ['a', 'b'], SHAPE, MADE_BY)) as writer:
        write(writer, ['b'])
    check(PackedHDF5Reader(str(path)), ['a', 'b'])
    with closing(PackedFeatures(path, ['a', 'b', 'c'], SHAPE, MADE_BY)) as writer:
        write(writer, ['c'])
    check(PackedHDF5Reader(str(path)), ['a', 'b', 'c'])
    with h5py.File(path) as file:
        assert file['crc'][()].tolist() == [zlib.crc32(name.encode() + pattern(name).tobytes()) for name in 'abc']


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
    """Before it is found: a failed write leaves nothing, the file that was there stays."""
    folder = FeatureFolder(tmp_path, {})
    folder.write(['a'], np.ones((1, 2, 3), np.float16))
    before = (tmp_path / 'a.h5').read_bytes()
    with pytest.raises(TypeError):
        folder.write(['a'], [np.array([object()])])
    assert (tmp_path / 'a.h5').read_bytes() == before
    (tmp_path / '.writing-1.part').write_bytes(b'half')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.writing-1.part', 'a.h5', 'extraction.json']
    assert FeatureFolder(tmp_path, {}).missing(['a', 'b']) == ['b']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.h5', 'extraction.json']
