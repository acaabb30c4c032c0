"""A source (file, folder, glob, URL, Hub dataset, `python-stdlib`) -> its documents."""
