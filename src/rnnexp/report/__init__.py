"""Finished runs as tables and pictures, read from their own records. Imports no torch."""
