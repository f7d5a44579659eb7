"""What two simulators share: random fields, electrons, and the cache of simulated images.

The simulator of a study lies in the study's room (``mchelpers.<study>.images``).
"""
