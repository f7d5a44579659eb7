"""Simulated micrographs: made by code from a seed, with exact masks.

Each module makes the images of one kind of microscope; what it returns says
``kind="simulated"``. Modules are imported where they are used, for some need
heavy libraries: ``from mchelpers.simulate import hrtem``.
"""
