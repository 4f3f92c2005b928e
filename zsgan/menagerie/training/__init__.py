"""Training of the demo's networks; ``python -m zsgan.menagerie.training list`` shows the commands."""
