"""python -m pcodec: the command line of `pcodec.cli`."""

import sys

from pcodec.cli import main

if __name__ == "__main__":
    sys.exit(main())
