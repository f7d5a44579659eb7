"""Nanoparticles in HRTEM: simulated micrographs, crystallinity, regions, faults, populations."""
