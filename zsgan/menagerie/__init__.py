"""The demo world: animal portraits with known factors, and the networks trained on them."""
