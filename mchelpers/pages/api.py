"""The page of the package's functions: made from the folders, so that it lists them all."""

from __future__ import annotations

from pathlib import Path

__all__ = ["api_page"]

INTRODUCTION = """\
# API

{notice}
The package `mchelpers` holds what chapters share: at the top what every study uses, in a room named
like its chapters what one study uses, in `measuring` the studies as a tool, in `record` what was
executed, in `claims` what the papers say of it, in `book` and `browser` what makes it. A field's
library is used directly where it does a thing well. Each module is imported when it is first used.

```{{eval-rst}}
.. autofunction:: mchelpers.start
```
"""


def _modules(folder: Path) -> list[str]:
    return [file.stem for file in sorted(folder.glob("*.py")) if not file.stem.startswith("_")]


def _room(title: str, modules: list[str], package: str = "") -> str:
    intro = [f".. automodule:: {package}\n   :no-members:\n"] if package else []
    listed = [f".. automodule:: {module}\n   :members:\n" for module in modules]
    return "\n".join([f"## {title}\n", "```{eval-rst}", *intro, *listed]) + "```\n"


def api_page(root: Path, notice: str) -> str:
    """Make the page: the core first, then each folder."""
    folder = root / "mchelpers"
    top = [f"mchelpers.{module}" for module in _modules(folder)]
    parts = [INTRODUCTION.format(notice=notice), _room("The core", top)]
    for init in sorted(folder.glob("*/__init__.py")):
        package = f"mchelpers.{init.parent.name}"
        modules = [f"{package}.{module}" for module in _modules(init.parent)]
        parts.append(_room(init.parent.name, modules, package))
    return "\n".join(parts)
