"""Where `qvl` starts: without Python's garbage collector until the command is there, and then with less of it.

All that is imported stays, and the collector would search it again and again: 7 % of a short command.
"""

import gc

from qvl.imports import COLLECT_AFTER, gc_frozen


def main() -> None:
    with gc_frozen():
        from .main import main as run
    gc.set_threshold(*COLLECT_AFTER)
    run()


if __name__ == "__main__":
    main()
