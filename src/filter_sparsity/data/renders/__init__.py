"""From 3D models to rendered datasets."""
