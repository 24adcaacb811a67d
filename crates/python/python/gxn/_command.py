"""The command `gxn`, as a binary would run it."""

import sys

from . import _native


def main():
    sys.exit(_native.run_command(sys.argv))
