"""``python -m mchelpers``: the command line of the book."""

import sys

from .book.command_line import main

if __name__ == "__main__":
    sys.exit(main())
