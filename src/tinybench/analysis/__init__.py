"""What is read back from results/: tables and figures. Nothing here trains."""
