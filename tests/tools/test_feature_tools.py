"""extract_features, pack_features and benchmark_features on real images, towers, files and kills."""

import json
import multiprocessing
import os
import runpy
import signal
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from tests.converters import CONVERTERS, convert
from tests.tiny import randomise
from vlpeft.datasets.features_file import stored_names
from vlpeft.datasets.readers import HDF5Reader, PackedHDF5Reader
from vlpeft.models.backbones.grid_tower import GridTower

BENCHMARK = CONVERTERS.parent / 'analysis_tools/benchmark_features.py'
SIZE, DIMS, COUNT = 28, 16, 120
VIT = dict(
    type='VisionTransformer',
    img_size=SIZE,
    patch_size=4,
    out_type='raw',
    arch=dict(embed_dims=DIMS, num_layers=2, num_heads=2, feedforward_channels=32),
)
MEAN, STD = [120.0, 110.0, 100.0], [60.0, 61.0, 62.0]
CONFIG = f"""
model = dict(type='ImageClassifier', backbone={VIT})
data_preprocessor = dict(mean={MEAN}, std={STD}, to_rgb=True)
"""


def write_images(folder, names, start=0):
    """Smooth pictures of several shapes; the first has its own colours in each corner."""
    folder.mkdir(parents=True)
    for number, name in enumerate(names, start):
        corners = np.random.default_rng(number).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        picture = Image.fromarray(corners).resize((40 + number % 7, 33 + number % 5), Image.Resampling.BICUBIC)
        picture.save(folder / name)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Two folders of images, a config and weights."""
    folder = tmp_path_factory.mktemp('extract')
    write_images(folder / 'train', [f'train_{number:03d}.png' for number in range(COUNT - 10)])
    write_images(folder / 'val', [f'val_{number}{(".PNG", ".jpeg")[number % 2]}' for number in range(10)], COUNT)
    (folder / 'val/notes.txt').write_text('no image')
    (folder / 'config.py').write_text(CONFIG)
    torch.save(randomise(GridTower(VIT)).vision.state_dict(), folder / 'weights.pth')
    return folder


def arguments(place, dst, layout, *more):
    return [
        place / 'train',
        place / 'val',
        dst,
        '--config',
        place / 'config.py',
        '--checkpoint',
        place / 'weights.pth',
        '--size',
        SIZE,
        '--layout',
        layout,
        '--workers',
        0,
        *more,
    ]


def reader_of(layout, dst):
    return HDF5Reader(str(dst)) if layout == 'files' else PackedHDF5Reader(str(dst))


def stored(layout, dst):
    """Names that have features by now."""
    if not dst.exists():
        return []
    return stored_names(dst) if layout == 'files' else PackedHDF5Reader(str(dst)).names()


def slow_features(place, path, pool):
    """The features of an image, without the tool: PIL's resize, plain loops."""
    tower = GridTower(VIT)
    tower.load(place / 'weights.pth')
    with Image.open(path) as image:
        pixels = np.asarray(image.convert('RGB').resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
    normalised = (pixels - np.float32(MEAN)) / np.float32(STD)
    tokens = tower.vision(torch.from_numpy(normalised).permute(2, 0, 1)[None])[-1][0]
    grid = tokens[1:].reshape(7, 7, DIMS)
    if pool == 7:
        return grid.reshape(49, DIMS).numpy()
    windows = [grid[row : row + 2, column : column + 2].amax((0, 1)) for row in range(6) for column in range(6)]
    return torch.stack(windows).numpy()


def run_silently(dst, place, layout, *more):
    """The tool in a process of its own, one image a time."""
    torch.set_num_threads(1)
    convert('extract_features.py', *arguments(place, dst, layout, '--batch-size', 1, *more))


@pytest.mark.parametrize('layout, pool', [('files', 7), ('packed', 6)])
def test_extraction_that_is_killed_goes_on_without_recomputing(tmp_path, place, layout, pool):
    dst = tmp_path / 'features.h5'
    more = () if pool == 7 else ('--pool', pool)
    process = multiprocessing.get_context('fork').Process(target=run_silently, args=(dst, place, layout, *more))
    process.start()
    while len(stored(layout, dst)) < 4:
        assert process.is_alive()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    done = stored(layout, dst)
    assert 4 <= len(done) < COUNT
    # What would be computed again would lose this mark.
    with h5py.File(dst / f'{done[1]}.h5' if layout == 'files' else dst, 'r+') as file:
        features = file[f'{done[1]}/features'] if layout == 'files' else file['features']
        features[() if layout == 'files' else 1] = 77
        if layout == 'packed':
            del file['crc']

    code, out = convert('extract_features.py', *arguments(place, dst, layout, '--batch-size', 16, *more))
    assert code == 0, out
    assert f'{COUNT - len(done)} stored, {len(done)} were there already, 0 failed' in out
    reader = reader_of(layout, dst)
    assert (reader.read(done[1]) == 77).all()
    assert len(stored(layout, dst)) == COUNT
    for path in [place / 'train/train_000.png', *sorted((place / 'val').glob('v*'))[:7], place / 'train/train_109.png']:
        features, expected = reader.read(path.stem), slow_features(place, path, pool)
        assert features.dtype == np.float16 and features.shape == (pool**2, DIMS)
        # PIL and torch round a resized pixel differently now and then.
        np.testing.assert_allclose(features, expected, atol=0.06)
        assert np.abs(features - expected).mean() < 0.01 < 0.3 < expected.std()
    code, out = convert('extract_features.py', *arguments(place, dst, layout, *more))
    assert code == 0 and f'0 stored, {COUNT} were there already' in out


def test_unreadable_images_are_left_out_until_they_are_repaired(tmp_path, place):
    write_images(tmp_path / 'images', ['a.png', 'b.png', 'c.png'])
    whole = (tmp_path / 'images/b.png').read_bytes()
    (tmp_path / 'images/b.png').write_bytes(whole[:60])
    command = [tmp_path / 'images', tmp_path / 'all.h5', *arguments(place, '', 'packed')[3:]]
    code, out = convert('extract_features.py', *command)
    assert code == 1
    assert '2 stored, 0 were there already, 1 failed' in out and f'{tmp_path / "images/b.png"}: not a readable' in out
    assert PackedHDF5Reader(str(tmp_path / 'all.h5')).names() == ['a', 'c']
    (tmp_path / 'images/b.png').write_bytes(whole)
    write_images(tmp_path / 'later', ['d.png'], start=9)
    code, out = convert('extract_features.py', tmp_path / 'later', *command)
    assert code == 0 and '2 stored, 2 were there already, 0 failed' in out
    assert PackedHDF5Reader(str(tmp_path / 'all.h5')).names() == ['a', 'b', 'c', 'd']


def test_extraction_refuses_what_it_cannot_do(tmp_path, place, capsys):
    def fails(*command):
        code, _ = convert('extract_features.py', *command)
        assert code == 2
        return capsys.readouterr().err

    (tmp_path / 'plain.py').write_text(f'model = {VIT}\n')
    (tmp_path / 'mixed').mkdir()
    command = arguments(place, tmp_path / 'all.h5', 'packed')
    assert f'no folder {tmp_path / "none"}' in fails(tmp_path / 'none', *command[2:])
    assert 'no image (.jpg, .jpeg, .png) in' in fails(tmp_path / 'mixed', *command[2:])
    write_images(tmp_path / 'twice', ['train_003.jpg'])
    assert 'train_003.png have the same stem' in fails(tmp_path / 'twice', *command)
    command[command.index(place / 'config.py')] = tmp_path / 'plain.py'
    assert 'data_preprocessor=dict(mean=…, std=…); there are model' in fails(*command)
    command = arguments(place, tmp_path / 'all.h5', 'packed')
    assert 'no cells of a grid' in fails(*command, '--cfg-options', 'model.backbone.out_type=cls_token')
    weights = torch.load(place / 'weights.pth')
    torch.save(dict(weights, pos_embed=weights['pos_embed'] * 1e6), tmp_path / 'huge.pth')
    huge = [tmp_path / 'huge.pth' if part == place / 'weights.pth' else part for part in command]
    assert 'overflow float16' in fails(*huge, '--cfg-options', 'model.backbone.final_norm=False')
    (tmp_path / 'all.h5').unlink()
    assert convert('extract_features.py', place / 'val', *command[2:])[0] == 0
    assert 'size: there 28, now 32' in fails(place / 'val', *command[2:], '--size', 32)
    assert 'mean: there [120.0, 110.0, 100.0], now [0, 0, 0]' in fails(
        place / 'val', *command[2:], '--cfg-options', 'data_preprocessor.mean=[0,0,0]'
    )


def released_folder(root, count=150):
    root.mkdir()
    for number in range(count):
        with h5py.File(root / f'COCO_{number:03d}.h5', 'w') as file:
            features = np.random.default_rng(number).standard_normal((4, 6)).astype(np.float16)
            file[f'COCO_{number:03d}/features'] = features
    return HDF5Reader(str(root)), stored_names(root)


def test_packing_and_unpacking_change_nothing(tmp_path):
    source, names = released_folder(tmp_path / 'released')
    code, out = convert('pack_features.py', tmp_path / 'released', tmp_path / 'all.h5')
    assert code == 0 and '150 stored, 0 were there already, 0 failed' in out
    packed = PackedHDF5Reader(str(tmp_path / 'all.h5'))
    assert packed.names() == names
    code, out = convert('pack_features.py', tmp_path / 'all.h5', tmp_path / 'unpacked')
    assert code == 0 and stored_names(tmp_path / 'unpacked') == names
    unpacked = HDF5Reader(str(tmp_path / 'unpacked'))
    for name in names:
        np.testing.assert_array_equal(packed.read(name), source.read(name))
        np.testing.assert_array_equal(unpacked.read(name), source.read(name))
    with h5py.File(tmp_path / 'all.h5', 'r+') as file:
        file['features'][names.index('COCO_007'), 2, 3] += 1
        del file['crc']
    code, out = convert('pack_features.py', tmp_path / 'released', tmp_path / 'all.h5')
    assert code == 1 and 'COCO_007: DIFFERS' in out and '1 failed' in out
    code, out = convert('pack_features.py', tmp_path / 'released', tmp_path / 'all.h5', '--no-verify')
    assert code == 0 and 'verifying' not in out


def test_packing_goes_on_with_the_rest(tmp_path, capsys):
    released_folder(tmp_path / 'released')
    good = (tmp_path / 'released/COCO_070.h5').read_bytes()
    (tmp_path / 'released/COCO_070.h5').write_bytes(good[:100])
    with h5py.File(tmp_path / 'released/COCO_080.h5', 'w') as file:
        file['COCO_080/features'] = np.zeros((5, 6), np.float16)
    code, out = convert('pack_features.py', tmp_path / 'released', tmp_path / 'all.h5')
    assert code == 1 and '148 stored, 0 were there already, 2 failed' in out
    assert 'COCO_070: not a readable *.h5 file' in out and 'COCO_080: features have shape (5, 6)' in out
    (tmp_path / 'released/COCO_070.h5').write_bytes(good)
    (tmp_path / 'released/COCO_080.h5').unlink()
    code, out = convert('pack_features.py', tmp_path / 'released', tmp_path / 'all.h5')
    assert code == 0 and '1 stored, 148 were there already, 0 failed' in out
    (tmp_path / 'empty').mkdir()
    assert convert('pack_features.py', tmp_path / 'empty', tmp_path / 'b.h5')[0] == 2
    assert f'no *.h5 in {tmp_path / "empty"}' in capsys.readouterr().err


def run_benchmark(monkeypatch, capsys, *options):
    monkeypatch.setattr(sys, 'argv', ['benchmark_features.py', *map(str, options)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(BENCHMARK), run_name='__main__')
    return stop.value.code, capsys.readouterr().out


def test_the_benchmark_compares_and_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    options = ['--items', 200, '--cells', 49, '--dims', 256, '--passes', 2, '--tmp', tmp_path, '--json']
    code, out = run_benchmark(monkeypatch, capsys, *options)
    result = json.loads(out)
    assert code == 0 and result['same_tensors'] and result['ratio'] > 1
    assert {layout: len(times) for layout, times in result['seconds'].items()} == dict(files=2, packed=2)
    assert os.listdir(tmp_path) == []


def test_the_benchmark_sees_another_tensor(tmp_path, monkeypatch):
    benchmark = runpy.run_path(str(BENCHMARK))
    monkeypatch.setattr(sys, 'argv', ['benchmark', '--items', '70', '--cells', '4', '--dims', '8', '--json'])
    args = benchmark['parse_args']()
    readers = benchmark['generate'](tmp_path, args)
    assert benchmark['same_tensors'](*(benchmark['build_loader'](reader, args) for reader in readers.values()))
    with h5py.File(readers['packed']['file'], 'r+') as file:
        file['features'][69, 3, 7] += 1
        del file['crc']
    assert not benchmark['same_tensors'](*(benchmark['build_loader'](reader, args) for reader in readers.values()))
