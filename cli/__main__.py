"""Where `qvl` starts: without Python's garbage collector until the command is there.

All that is imported stays, and the collector would search it again and again: 7 % of a short command.
"""

from qvl.imports import gc_frozen


def main() -> None:
    with gc_frozen():
        from .main import main as run
    run()


if __name__ == "__main__":
    main()
