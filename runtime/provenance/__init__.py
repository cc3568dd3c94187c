"""Provenance: the mark in every image, which says that a generator made it, and how to make it again."""
