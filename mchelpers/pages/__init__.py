"""Pages that are made of the record, the claims and the package; notebooks in plain words."""
