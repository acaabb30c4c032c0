"""A process that encodes starts quickly: it loads only what it needs."""

import subprocess
import sys


def test_a_process_that_encodes_loads_neither_the_configuration_nor_transformers():
    program = "import sys, phf.tokens.encoding_worker; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "transformers", "pydantic", "phf.config"}.isdisjoint(loaded)
    assert "phf.tokens.encoded" in loaded
