"""Packaging. The version comes from vlpeft/version.py, the dependencies from requirements/*.txt."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Puts configs, tools and the zoo's index into the package as ``vlpeft/.mim``, as OpenMMLab's packages do.

    The command ``vlpeft`` and ``mim`` find them there. What comes with a config, such as the weights and vocabulary of
    a small base, is taken along; in a source distribution it must be in MANIFEST.in, too. A checkout and an editable
    installation use the folders of the repository.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'vlpeft/.mim'
        shutil.rmtree(target, ignore_errors=True)
        for folder in ('configs', 'tools'):
            shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'model-index.yml', target)


def read_version() -> str:
    """The version, without importing the package (its dependencies may not be there yet)."""
    return re.search(r"^__version__ = '(.+)'$", (ROOT / 'vlpeft/version.py').read_text(), re.M).group(1)


def requirements(*names: str) -> list:
    """Requirement lines of ``requirements/{name}.txt``, comments left out."""
    lines = [line.strip() for name in names for line in (ROOT / f'requirements/{name}.txt').read_text().splitlines()]
    return [line for line in lines if line and not line.startswith('#')]


README = ROOT / 'README.md'

setup(
    name='vlpeft',
    version=read_version(),
    description='Parameter-efficient adaptation of large vision-language models, on MMEngine',
    long_description=README.read_text() if README.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['vlpeft', 'vlpeft.*']),
    include_package_data=True,
    entry_points=dict(console_scripts=['vlpeft = vlpeft.cli:main']),
    cmdclass=dict(build_py=BuildWithConfigs),
    install_requires=requirements('runtime', 'mminstall', 'multimodal'),
    extras_require={
        **{
            name: requirements(name)
            for name in ('demo', 'docs', 'evidence', 'optional', 'features', 'captions', 'audio', 'peft', 'style')
        },
        # The tests need what they test.
        'tests': requirements('tests', 'demo', 'docs', 'evidence', 'features', 'captions', 'audio', 'peft'),
        'all': requirements('tests', 'demo', 'docs', 'evidence', 'optional', 'features', 'captions', 'audio', 'peft'),
    },
    classifiers=[
        'Development Status :: 4 - Beta',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
