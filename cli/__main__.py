"""Where `qvl` starts: without Python's garbage collector until the command is there, and then with less of it.

All that is imported stays, and the collector would search it again and again: 7 % of a short command.
"""

import gc

from qvl.imports import gc_frozen

COLLECT_AFTER = (20_000, 20, 20)
"""gc.set_threshold: objects, and searches of the younger generation. Of thousands of requests that wait for
their answers hardly anything is garbage, but Python's 700 objects have them searched at every tenth request: a
tenth of the time of `qvl generate`. Our choice."""


def main() -> None:
    with gc_frozen():
        from .main import main as run
    gc.set_threshold(*COLLECT_AFTER)
    run()


if __name__ == "__main__":
    main()
