"""From a name to verified bytes: the manifest, downloads, and checkpoint files read as data."""
