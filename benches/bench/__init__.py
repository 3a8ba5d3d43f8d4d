"""Measures singlemalt next to other servers, with ratios that are reliable on a noisy machine
(docs/performance.md).
"""
