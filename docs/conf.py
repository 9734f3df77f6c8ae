"""How Sphinx builds the site: `make docs`."""

import aiohttp_lionrock

project = "aiohttp-lionrock"
html_title = project
html_theme = "furo"
html_static_path = ["_static"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
templates_path: list[str] = []
exclude_patterns: list[str] = []

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_class_signature = "mixed"
default_role = "code"

version = release = "0.1.0"
assert aiohttp_lionrock.__all__  # what autodoc reads is this checkout's
