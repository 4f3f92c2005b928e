"""Adaptations on disk, each made once: profiles, identity, making, finding and costs."""
