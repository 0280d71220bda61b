"""What runs left in results/, read back, and tables of it. Nothing here trains."""
