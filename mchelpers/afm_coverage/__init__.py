"""Coverage of films under the AFM: growth and scan, labels, patches, networks, whole images."""
