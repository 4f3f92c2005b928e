"""Parts of the command line: arguments, output, lists and the description of a run."""
