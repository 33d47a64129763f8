"""Measuring a codec: speech metrics, round trips through real files, tables and the listening page.

Nothing is imported here, so that a metric can be used without the packages that drawing a page needs.
"""
