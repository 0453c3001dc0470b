"""Media and feature files of real encoders, seeded damage to them, and what reading them gives."""

import signal
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import soundfile
from PIL import Image

from tests.media import numbered_frames, write_video
from vlpeft.datasets.features_file import PackedFeatures
from vlpeft.datasets.readers import (
    AudioReader,
    ClipError,
    DecordReader,
    HDF5Reader,
    ImageReader,
    NPZReader,
    PackedHDF5Reader,
)

SECONDS = 60
PICTURES = dict(
    jpg=('JPEG', {}),
    png=('PNG', {}),
    tif=('TIFF', dict(compression='tiff_lzw')),
    gif=('GIF', {}),
    webp=('WEBP', {}),
    webp_lossless=('WEBP', dict(lossless=True)),
    bmp=('BMP', {}),
    progressive=('JPEG', dict(progressive=True)),
)
VIDEOS = dict(mp4='libx264', mov='libx264', mkv='libx264', webm='libvpx', avi='mpeg4', ts='libx264', flv='flv')
SOUNDS = ('wav', 'flac', 'ogg', 'mp3', 'm4a')
FEATURES = ('h5', 'npz', 'npz_stored', 'packed')
DAMAGES = ('bits', 'head', 'sizes', 'cut', 'zeros', 'swap', 'suffix')
# Nothing in these says what the values were: a change within them cannot be told.
UNPROTECTED = {*PICTURES, *VIDEOS, 'wav', 'mp3', 'm4a', 'h5'} - {'png'}
# Nothing in these says how long they are, so the loss of whole pieces cannot be told (docs/data.md).
UNDECLARED = {'ogg', 'mp3'}


class Case(NamedTuple):
    """A damaged file."""

    format: str
    damage: str
    seed: int


def cases(seeds: int) -> list[Case]:
    return [
        Case(name, damage, seed)
        for name in (*PICTURES, *VIDEOS, *SOUNDS, *FEATURES)
        for damage in DAMAGES
        for seed in range(seeds)
    ]


def write_good(folder: Path) -> dict[str, Path]:
    """One whole file of each format; each reader reads it."""
    files, random = {}, np.random.default_rng(0)
    rows = np.linspace(0, 255, 96)[:, None]
    picture = np.stack([rows + np.zeros(128), rows[::-1] + np.zeros(128), random.integers(0, 256, (96, 128))], -1)
    for name, (kind, options) in PICTURES.items():
        files[name] = folder / f'{name}.{name if kind != "JPEG" else "jpg"}'
        Image.fromarray(picture.astype(np.uint8)).save(files[name], format=kind, **options)
    frames = numbered_frames(24)
    for name, codec in VIDEOS.items():
        files[name] = Path(write_video(folder / f'a.{name}', frames, codec=codec))
    wave = 0.3 * np.sin(np.arange(16000) ** 1.5 / 900) + random.normal(0, 0.01, 16000)
    for name in SOUNDS:
        files[name] = folder / f'sound.{name}'
        if name == 'm4a':
            _write_m4a(files[name], wave)
        else:
            soundfile.write(files[name], wave, 16000)
    values = random.standard_normal((6, 32)).astype(np.float16)
    files.update(h5=folder / 'x.h5', npz=folder / 'x.npz', npz_stored=folder / 'stored/x.npz', packed=folder / 'all.h5')
    files['npz_stored'].parent.mkdir()
    with h5py.File(files['h5'], 'w') as file:
        file['x/features'] = values
    np.savez_compressed(files['npz'], features=values)
    np.savez(files['npz_stored'], features=values)
    packed = PackedFeatures(files['packed'], ['x', 'y'], values.shape, {})
    packed.write(['x', 'y'], np.stack([values, values + 1]))
    packed.close()
    return files


def _write_m4a(path: Path, wave: np.ndarray) -> None:
    import av

    with av.open(str(path), 'w', format='mp4') as container:
        track = container.add_stream('aac', rate=16000, layout='mono')
        for start in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(
                wave[None, start : start + 1024].astype(np.float32), format='fltp', layout='mono'
            )
            frame.sample_rate, frame.pts = 16000, start
            container.mux(track.encode(frame))
        container.mux(track.encode())


def damaged(data: bytes, damage: str, draw: np.random.Generator) -> bytes:
    data, size = bytearray(data), len(data)
    if damage == 'cut':
        return bytes(data[: draw.integers(1, size)])
    if damage in ('bits', 'head'):
        for place in draw.integers(0, size if damage == 'bits' else min(size, 96), draw.integers(1, 9)):
            data[place] ^= 1 << draw.integers(8)
    elif damage == 'sizes':
        place = int(draw.integers(0, min(size, 400) - 4))
        data[place : place + 4] = [b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff', b'\xff\xff\xff\x7f'][draw.integers(3)]
    elif damage == 'zeros':
        place, length = int(draw.integers(size)), int(draw.integers(1, max(2, size // 4)))
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif damage == 'swap':
        length = int(draw.integers(1, size // 8))
        first, second = sorted(draw.integers(0, size - length, 2).tolist())
        second = max(second, min(first + length, size - length))
        one, other = data[first : first + length], data[second : second + length]
        data[first : first + length], data[second : second + length] = other, one
    return bytes(data[:size])


def write_damaged(case: Case, good: dict[str, Path], folder: Path) -> Path:
    """Write the file of a case; ``suffix`` leaves the content whole and gives it another one's name."""
    draw = np.random.default_rng([case.seed, *case.format.encode(), *case.damage.encode()])
    source = good[case.format]
    target = folder / f'{case.format}-{case.damage}-{case.seed}' / source.name
    data = source.read_bytes()
    if case.damage == 'suffix' and case.format in FEATURES:  # the reader asks for the name: other content in it
        others = [name for name in good if good[name].suffix != source.suffix]
        data = good[others[draw.integers(len(others))]].read_bytes()
    elif case.damage == 'suffix':
        group = next(group for group in (PICTURES, VIDEOS, SOUNDS) if case.format in group)
        others = sorted({good[name].suffix for name in group} - {source.suffix})
        target = target.with_suffix(others[draw.integers(len(others))])
    else:
        data = damaged(data, case.damage, draw)
    target.parent.mkdir(parents=True)
    target.write_bytes(data)
    return target


def read(name: str, path: Path) -> tuple[np.ndarray, ...]:
    """What a reader makes of a file: arrays."""
    if name in PICTURES:
        return (ImageReader().read(str(path), [0]),)
    if name in VIDEOS:
        reader = DecordReader()
        info = reader.probe(str(path))
        return reader.read(str(path), range(info.num_frames)), np.array(info.times if info.times else [])
    if name in SOUNDS:
        samples, rate = AudioReader().read(str(path))
        return samples, np.array(rate)
    if name == 'packed':
        return (PackedHDF5Reader(str(path)).read('x'),)
    return ((HDF5Reader if name == 'h5' else NPZReader)(str(path.parent)).read('x'),)


def outcome(case: Case, path: Path, whole: tuple[np.ndarray, ...]) -> tuple[str, str]:
    """(class, detail) of reading a damaged file; run it in a process of its own, which may die."""
    signal.alarm(SECONDS)  # a decoder that hangs is a death, too
    try:
        found = read(case.format, path)
    except ClipError as error:
        names_it = str(path) in str(error.path) and bool(error.reason)
        return ('error', error.reason) if names_it else ('uncaught', f'names neither file nor reason: {error}')
    except BaseException as error:  # noqa: BLE001  that is what is looked for
        return 'uncaught', f'{type(error).__name__}: {error}'
    finally:
        signal.alarm(0)
    if all(np.array_equal(one, other) for one, other in zip(found, whole)):
        return 'right', ''
    shapes = f'{[part.shape for part in whole]} -> {[part.shape for part in found]}'
    first, was = found[0], whole[0]
    if case.format in UNDECLARED and len(first) < len(was):
        return 'shorter', shapes
    # The size of a GIF's canvas is a number like any other, and larger than its picture in good files.
    if (first.shape == was.shape or case.format == 'gif') and case.format in UNPROTECTED and case.damage != 'cut':
        return 'concealed', shapes
    return 'wrong', shapes
