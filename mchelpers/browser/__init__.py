"""Networks that answer in the reader's browser: the graph, the files, and the page's directive.

As a Sphinx extension it lays the files out beside the built pages. Nothing is asked of another
host, neither when the book is built nor when a page is read.
"""

from .page import setup

__all__ = ["setup"]
