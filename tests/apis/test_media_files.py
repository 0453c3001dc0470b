"""Which files are videos, images or sounds."""

from vlpeft.apis.media_files import expand, find_media


def test_folders_with_the_name_of_a_file_are_none(tmp_path):
    (tmp_path / 'albums.png').mkdir()
    for name in ('one.png', 'albums.png/two.png'):
        (tmp_path / name).write_bytes(b'x')
    files = [str(tmp_path / 'albums.png/two.png'), str(tmp_path / 'one.png')]
    assert list(find_media(tmp_path)) == files
    assert expand([tmp_path], ('image',)) == files
