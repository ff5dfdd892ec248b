"""`python -m mlgit` and the console script."""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from mlgit.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
