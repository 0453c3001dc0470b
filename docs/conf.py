"""The pages as a site: bash tools/build_docs.sh.

The source folder is the root of the repository, so that a link between two files means the same on the site as where
the pages are read as Markdown; README.md, CHANGELOG.md and the pages beside the configs are pages of the site, too.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs/_ext')]

from vlpeft.version import __version__  # noqa: E402

project = 'vlpeft'
author = 'The vlpeft contributors'
copyright = author
release = version = __version__

root_doc = 'docs/index'
include_patterns = ['docs/**.md', '*.md', 'configs/**.md']
# What is not entered in search of pages: hidden folders, code, and what runs leave.
exclude_patterns = ['.*', 'build', 'data', 'dist', 'docs/_*', 'tests', 'tools', 'vlpeft', 'work_dirs']
nitpicky = True
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'contents', 'reference', 'source_pages']

# Headings are linked to as on GitHub.
myst_heading_anchors = 6

add_module_names = False
autodoc_class_signature = 'mixed'
# What a method does that only another library describes is told there.
autodoc_inherit_docstrings = False
autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True

html_theme = 'furo'
html_title = f'vlpeft {release}'
html_static_path = ['_static']
html_css_files = ['site.css']
html_js_files = ['site.js']
html_copy_source = False
html_show_sourcelink = False
templates_path = ['_templates']
html_additional_pages = {'index': 'first_page.html'}
html_theme_options = dict(navigation_with_keys=False)
