"""The HTML report: one file that stands alone, with its figures as SVG and its tables as CSV beside it.

`build.build` is the way in. A section is a function StudyData → Section in `sections/`; adding one is writing it
and naming it in `build.SECTIONS`.
"""
