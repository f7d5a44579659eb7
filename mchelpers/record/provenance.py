"""Where a figure or a table comes from, written into the file that holds it."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from ..install import DISTRIBUTION
from . import checkout
from .chapter import Chapter

__all__ = ["code_commit", "label_shown_figures", "labelled", "notebook_shell"]


def code_commit(chapter: str, around: Path = Path(__file__).parents[2]) -> str | None:
    """Name the commit of the code that runs a chapter.

    Parameters
    ----------
    chapter
        ``study/chapter``.
    around
        The folder that the package lies in.

    Returns
    -------
    str or None
        As :func:`~mchelpers.record.checkout.commit` says in a checkout, else the commit that pip
        installed; None where neither is known.
    """
    installed = metadata.distributions(name=DISTRIBUTION, path=[str(around)])
    sources = [json.loads(d.read_text("direct_url.json") or "{}") for d in installed]
    commits = [s["vcs_info"]["commit_id"][:12] for s in sources if "vcs_info" in s]
    return checkout.commit(Chapter(chapter, around)) or next(iter(commits), None)


def notebook_shell():
    """Return the IPython that runs this code, or None; nothing is imported for that."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def label_shown_figures(facts: dict) -> None:
    """Let the figures that the notebook shows from now on carry facts; elsewhere do nothing."""
    import matplotlib as mpl

    if notebook_shell() and "inline" in mpl.get_backend():
        from matplotlib_inline.config import InlineBackend

        inline = InlineBackend.instance(parent=notebook_shell())
        # matplotlib refuses to label a JPEG.
        label = None if inline.figure_formats & {"jpg", "jpeg"} else _label(facts)
        inline.print_figure_kwargs = {**inline.print_figure_kwargs, "metadata": label}


def _label(facts: dict, ending: str = ".png") -> dict[str, str]:
    """Lay facts into fields that files with this ending have."""
    whole = "Subject" if ending == ".pdf" else "Description"
    return {"Title": facts["chapter"], whole: json.dumps(facts)}


def labelled(thing, path: Path, facts: dict, dpi: float) -> bytes | str:
    """Return a file's content: a figure or rows, and facts; see :meth:`mchelpers.run.Run.save`."""
    from matplotlib.figure import Figure

    ending = path.suffix.lower()
    if isinstance(thing, Figure) and ending in (".png", ".pdf", ".svg"):
        file = io.BytesIO()
        thing.savefig(file, format=ending[1:], dpi=dpi, metadata=_label(facts, ending))
        return file.getvalue()
    rows = thing if isinstance(thing, Sequence) and ending == ".csv" else ()
    if rows and all(isinstance(row, Mapping) for row in rows):
        return _csv(rows, facts)
    raise ValueError(
        f"{path} was not written, from {type(thing).__name__}: save a figure as .png, .pdf or "
        ".svg, and rows, one mapping each as for show.table, as .csv"
    )


def _csv(rows: Sequence[Mapping], facts: dict) -> str:
    text = io.StringIO()
    text.writelines(f"# {name}: {json.dumps(fact)}\n" for name, fact in facts.items())
    columns = dict.fromkeys(column for row in rows for column in row)
    # In quotes, a # of the table begins no comment.
    table = csv.DictWriter(text, columns, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    table.writeheader()
    for row in rows:  # Python's numbers are written with all their digits, torch's are not
        table.writerow({k: v.tolist() if hasattr(v, "tolist") else v for k, v in row.items()})
    return text.getvalue()
