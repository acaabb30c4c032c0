"""An LLM that rates texts by a rubric, behind a server or on this machine, as a scorer."""
