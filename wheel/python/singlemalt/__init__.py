"""singlemalt: a WSGI server in one process. `singlemalt app.py` and `python -m singlemalt` serve."""
