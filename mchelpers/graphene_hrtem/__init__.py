"""Contaminants on graphene in HRTEM: Bragg filter, classical masks, lattice, atoms and bonds."""
