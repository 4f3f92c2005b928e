"""Pictures of people become latents, and latents become pictures of an adapted generator (Figure 7)."""
