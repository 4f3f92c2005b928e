"""Code of single chapters of the book."""
