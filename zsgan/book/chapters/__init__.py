"""What single chapters of the book need beyond the library."""
