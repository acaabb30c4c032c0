"""Violations of PEP 8 per character, by pycodestyle or ruff."""
