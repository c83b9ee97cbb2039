"""MLForge beside its references, one command for each row of the goals."""
