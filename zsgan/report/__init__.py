"""From measurements to tables and pictures, and the summaries of the larger grids that ship."""
