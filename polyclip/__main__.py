"""Entry point of `python -m polyclip`."""

from polyclip.cli.main import main

if __name__ == "__main__":
    main()
