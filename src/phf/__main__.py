"""`python -m phf`."""

from phf.cli.app import main

if __name__ == "__main__":
    main()
