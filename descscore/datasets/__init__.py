"""Published datasets in the layouts that their authors distribute."""
