"""Its presence puts the repository on the import path, so that every test finds ``tests.media`` and its like."""
