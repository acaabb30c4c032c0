"""Runs that a process of a job trains, one after the other: `on_ranks.py JOBS`, a list of [configuration, folder, resume]."""

import json
import sys
from pathlib import Path

from phf.config import load_config
from phf.training.run import train

if __name__ == "__main__":
    for config, folder, resume in json.loads(Path(sys.argv[1]).read_text()):
        train(load_config(config=Path(config))[0], Path(folder), resume=resume)
