"""`python -m mlgit` and the console script."""

import gc
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(100_000)  # next to nothing that one command makes is garbage before it ends
    try:
        from mlgit.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything that could say so
        code = 130
    gc.freeze()  # else the interpreter looks through everything for garbage once more before it ends
    sys.exit(code)


if __name__ == "__main__":
    main()
