"""Prose that is always available: the docstrings of the running interpreter's standard library."""

import ast

from phf.corpus.sources.documents import read_documents


def docstrings() -> list[list[str]]:
    """The docstrings of each module that has any."""
    return [texts for document in read_documents("python-stdlib") if (texts := _docstrings(document.text))]


def _docstrings(source: str) -> list[str]:
    return [
        text
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node))
    ]
