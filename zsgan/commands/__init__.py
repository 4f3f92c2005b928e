"""What single commands of the command line need: arguments, output, lists, a run's description."""
