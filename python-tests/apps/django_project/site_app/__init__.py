"""The project of the Django tests: admin, sessions, forms, uploads, files, streams."""
