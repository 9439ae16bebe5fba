"""The HTML report: one file that stands alone, with its figures as SVG and its tables as CSV beside it.

`page.build` is the way in. A section is a file in `sections/`; adding one is writing it.
"""
