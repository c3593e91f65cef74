"""Users' objects, folded into the mesh."""
