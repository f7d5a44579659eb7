"""Sphinx extension: the directive ``anywidget``, and the files that its module loads on a click.

The directive is written as later Jupyter Books have it: the module's path, and the model as JSON.
"""

from __future__ import annotations

import html
import json
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

__all__ = ["Anywidget", "setup"]


class Anywidget(SphinxDirective):
    """Put a module of the anywidget form into the page, as text: ``loader.js`` draws it."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return HTML; other builders leave it out."""
        relative, file = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        code, model = Path(file).read_text(encoding="utf-8"), "\n".join(self.content)
        try:
            json.loads(model)
        except ValueError as error:
            raise self.error(f"the model of {relative} is no JSON: {error}") from error
        if "</script" in code + model:
            raise self.error(f"{relative} holds </script, which would end it in a page")
        parts = [
            f'<script type="text/plain" class="{name}">{text}</script>'
            for name, text in (("module", code), ("model", model))
        ]
        title = html.escape(Path(relative).stem)
        return [
            nodes.raw("", f'<div class="anywidget {title}">{"".join(parts)}</div>', format="html")
        ]


def lay_files(app) -> None:
    """Write what a page takes beside its text, before Sphinx copies the static files.

    That is the packed network, and the picture of what ``measure`` answers on the sample: all that
    print shows.
    """
    from ..measuring.one import measure
    from ..measuring.pictures import overlay
    from .pack import graphene_script, sample

    pixels, nm = sample()
    answer = measure(pixels, "graphene_hrtem", nm)
    folder = Path(app.srcdir) / "book" / "_static" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "still.png").write_bytes(overlay(answer))
    if app.builder.format == "html":
        (folder / "graphene.js").write_text(graphene_script(), encoding="utf-8")


def setup(app) -> dict:
    """Register the extension."""
    app.add_directive("anywidget", Anywidget)
    app.connect("builder-inited", lay_files)
    return {"version": "1", "parallel_read_safe": True}
