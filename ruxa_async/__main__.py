"""`python -m ruxa_async` is the command `ruxa`."""

import sys

from ruxa_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
