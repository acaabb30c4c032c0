"""One file of records or text, in any format, compressed or not, here or at a URL -> its rows, each with its place."""
