"""``--observe``: what a live account tells about all that Zoom's documents leave open.

`command` chooses an account, says what is asked of it, and prints what was found; `asking` asks;
`ranges` and `verdicts` decide what follows from the answers. A verdict is given only where the
answers exclude every other reading that is known. What leaves this package is counts, times, and
names of headers: never an ID, a name or a number of anybody.
"""
