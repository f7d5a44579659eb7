"""The doors of the package: whatever a microscope or a labelling tool wrote, right or refused.

Files are read by :func:`mchelpers.inputs.pictures.read_picture` alone.
"""
