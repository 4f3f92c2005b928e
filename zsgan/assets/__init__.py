"""External files: the manifest, verified downloads, and safe readers of checkpoint files."""
