"""What the tests share: they run the tap, and compare what it wrote with what it should write.

Start with `tap.sync`, which reads all that a simulator holds. `rows` says whether that was exactly
what there is, `singer` reads bookmarks and writes states and catalogs, `history` is the usual
history with two runs over it, and `constants` names what tests shorten.
"""
