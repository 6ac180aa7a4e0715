"""`python -m reprise` is `reprise`."""

import sys

from reprise.launch.cli import main

if __name__ == "__main__":
    sys.exit(main())
