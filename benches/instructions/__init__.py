"""Instructions per request, counted under valgrind and held against a committed baseline
(tools/instructions).
"""
