"""Crystals under the light microscope: thin-film optics, objects, detections, transfer, live."""
