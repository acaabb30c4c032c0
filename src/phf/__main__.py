"""`python -m phf`."""

from phf.cli import main

if __name__ == "__main__":
    main()
