"""Once, offline: download, curate, decode and pack a data set."""
