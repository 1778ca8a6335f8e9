"""Write the files of the invented branch into a new directory, for who follows the how-to."""

import sys
from pathlib import Path

from tests.api.analyst.generator import Branch

if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir()
    Branch().write(where)
