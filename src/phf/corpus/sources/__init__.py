"""What a corpus may be named as (file, folder, glob, URL, Hub dataset, `python-stdlib`) -> its documents."""
