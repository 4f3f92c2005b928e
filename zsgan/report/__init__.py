"""Tables and figures of measurements, and the summaries of larger grids that ship with zsgan."""
