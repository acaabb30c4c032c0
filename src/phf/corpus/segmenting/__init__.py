"""Cutting documents into segments: lines, sentences or the whole. `"".join(segments) == text`, always."""
