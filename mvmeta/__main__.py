"""`python -m mvmeta`: the same as the command `mvmeta`."""

import sys

from mvmeta.cli import main

if __name__ == "__main__":
    sys.exit(main())
