"""Records of runs, and the archive of finished campaigns."""
