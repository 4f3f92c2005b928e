"""The book: its notebooks and pages, and how everything is reproduced."""
