"""A source (file, folder, glob, URL, Hub dataset, `python-stdlib`, `python-packages`) -> its documents."""
