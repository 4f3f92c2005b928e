"""The book: its notebooks and pages, and the command that reproduces everything."""
