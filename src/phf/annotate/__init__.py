"""Corpus x scorer -> annotated dataset."""
