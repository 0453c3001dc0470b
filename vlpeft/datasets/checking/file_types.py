"""What a file is by its first bytes, and what its suffix says."""

import os

# What a name may promise; containers that share their first bytes share a type.
_SUFFIXES = dict(
    JPEG='.jpg .jpeg .jpe .jfif',
    PNG='.png .apng',
    GIF='.gif',
    WebP='.webp',
    TIFF='.tif .tiff',
    BMP='.bmp',
    MP4='.mp4 .mov .m4v .m4a .3gp .3g2',
    Matroska='.mkv .webm .mka',
    AVI='.avi',
    FLV='.flv',
    WAV='.wav',
    FLAC='.flac',
    Ogg='.ogg .ogv .oga .opus',
    HDF5='.h5 .hdf5',
    zip='.npz',
)
TYPE_OF_SUFFIX = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_BEGINNINGS = (
    (b'\xff\xd8\xff', 'JPEG'),
    (b'\x89PNG\r\n\x1a\n', 'PNG'),
    (b'GIF8', 'GIF'),
    (b'II*\0', 'TIFF'),
    (b'MM\0*', 'TIFF'),
    (b'BM', 'BMP'),
    (b'\x1aE\xdf\xa3', 'Matroska'),
    (b'FLV\x01', 'FLV'),
    (b'fLaC', 'FLAC'),
    (b'OggS', 'Ogg'),
    (b'\x89HDF\r\n\x1a\n', 'HDF5'),
    (b'PK\x03\x04', 'zip'),
)
_RIFF = {b'WEBP': 'WebP', b'AVI ': 'AVI', b'WAVE': 'WAV'}
_PAGES = (b'<!doctype html', b'<html', b'<?xml', b'<head')
# Files that can be none of what a sample shows; what is not listed may be anything.
_IMAGES = {'JPEG', 'PNG', 'TIFF', 'BMP'}
_IMPOSSIBLE = dict(
    image={'MP4', 'Matroska', 'AVI', 'FLV', 'WAV', 'FLAC', 'Ogg', 'HDF5', 'zip', 'web page'},
    video={*_IMAGES, 'WAV', 'FLAC', 'HDF5', 'zip', 'web page'},
    audio={*_IMAGES, 'GIF', 'WebP', 'HDF5', 'zip', 'web page'},
    feature={*_IMAGES, 'web page'},
)


def type_of_content(path: str) -> str | None:
    """Type of a file by its first bytes: 'JPEG', 'MP4', 'web page', …; None for one that is not known here."""
    with open(path, 'rb') as file:
        head = file.read(64)
    if head[:4] == b'RIFF':
        return _RIFF.get(head[8:12])
    if head[4:8] == b'ftyp' and head[8:12] not in (b'avif', b'avis', b'heic', b'heix', b'mif1'):
        return 'MP4'
    if head.lstrip().lower().startswith(_PAGES):
        return 'web page'
    return next((name for begin, name in _BEGINNINGS if head.startswith(begin)), None)


def wrong_type(path: str, media: str) -> str | None:
    """What is wrong with the type of a file that is there; None if nothing is known to be.

    Args:
        path: The file.
        media: What it must be: 'image', 'video', 'audio' or 'feature'.
    """
    content = type_of_content(path)
    suffix = os.path.splitext(path)[1].lower()
    promised = TYPE_OF_SUFFIX.get(suffix)
    if content in _IMPOSSIBLE[media]:
        return f'by its content a {content} file, where the sample shows {_SHOWN[media]}'
    if content is not None and promised is not None and content != promised:
        return f'by its content a {content} file, but its suffix is {suffix}'
    return None


_SHOWN = dict(image='an image', video='a video', audio='a sound', feature='stored features')
