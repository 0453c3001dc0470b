"""Packages are taken only if they are what they should be, and nothing lies outside of their folder."""

import hashlib
import subprocess
import zipfile

import pytest

from vlpeft.evidence import packages
from vlpeft.evidence.packages import PACKAGES, Package, PackageError, fetch, missing, unpack


def package_of(path, **changes):
    content = path.read_bytes()
    facts = dict(name='thing', version='1', registry='pypi', licence='MIT', holds='a thing')
    facts |= dict(file=path.name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return Package(**facts | changes)


def write_wheel(path, **files):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, text in files.items():
            archive.writestr(name.replace('UP', '../'), text)
    return path


def answer_with(monkeypatch, write):
    """In place of pip and apt-get, which need a network."""

    def run(command, cwd, check):
        code = write(cwd)
        return subprocess.CompletedProcess(command, code or 0)

    monkeypatch.setattr(packages.subprocess, 'run', run)


def test_what_comes_with_another_hash_is_not_kept(tmp_path, monkeypatch):
    package = package_of(write_wheel(tmp_path / 'thing-1.whl', a='good'))
    answer_with(monkeypatch, lambda cwd: write_wheel(f'{cwd}/thing-1.whl', a='evil') and None)
    with pytest.raises(PackageError, match='has the sha256 .* not kept'):
        fetch(package, tmp_path / 'cache')
    assert list((tmp_path / 'cache').iterdir()) == []


def test_a_package_is_fetched_once(tmp_path, monkeypatch):
    source = write_wheel(tmp_path / 'thing-1.whl', a='good')
    package = package_of(source)
    monkeypatch.setitem(PACKAGES, 'thing', package)
    cache = tmp_path / 'cache'
    assert missing(['thing'], cache) == [package]
    answer_with(monkeypatch, lambda cwd: (tmp_path / cwd / source.name).write_bytes(source.read_bytes()) and None)
    assert fetch(package, cache).read_bytes() == source.read_bytes()
    assert missing(['thing'], cache) == []
    (cache / source.name).write_bytes(b'half')
    assert missing(['thing'], cache) == [package]


def test_a_program_that_fails_is_named(tmp_path, monkeypatch):
    package = package_of(write_wheel(tmp_path / 'thing-1.whl', a='good'))
    answer_with(monkeypatch, lambda cwd: 1)
    with pytest.raises(PackageError, match='pip download .*thing==1 ended with exit code 1.*by hand'):
        fetch(package, tmp_path / 'cache')


def test_entries_outside_of_the_folder_are_refused(tmp_path):
    package = package_of(write_wheel(tmp_path / 'thing-1.whl', UPescaped='x', inside='y'))
    with pytest.raises(PackageError, match=r'\.\./escaped would lie outside'):
        unpack(package, tmp_path)
    assert not (tmp_path / 'escaped').exists() and not (tmp_path / 'thing-1').exists()


def test_all_packages_have_a_hash_and_a_licence():
    assert len(PACKAGES) == 8
    for package in PACKAGES.values():
        assert len(package.sha256) == 64 and package.licence and package.size > 1e6
        assert package.version.split('+')[0] in package.file
