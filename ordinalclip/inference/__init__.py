"""Images in, ranks out: a finished run or an exported folder as a `RankModel`, without a text tower.

Imports `preparation` and the rooms below it. A new way to name a run is added in `naming`, a new kind of `images=` in
`listing`, a new export format in `exported`.
"""
