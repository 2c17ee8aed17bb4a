"""One process that trains several runs to their end, one after the other."""

import os
import sys
from pathlib import Path

from stages.training.loop import main

if __name__ == "__main__":
    for task in sys.argv[1:]:
        main(Path(task))
    os._exit(0)  # as in the loop
