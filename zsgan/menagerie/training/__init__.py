"""The commands that trained the demo's networks; ``python -m zsgan.menagerie.training list`` shows them."""
