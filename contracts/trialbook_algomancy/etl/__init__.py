"""Extraction, validation and transformation of uploaded files into tables."""
