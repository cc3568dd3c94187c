"""The fuzz targets, one file each: what it reads, valid inputs to begin with, and the function that reads bytes.

A target has `seeds()`, inputs that are valid or nearly so, and `run(data)`. `run` may raise GantoolError, and
nothing else. `MUTATE`, if it is there, makes one input from another; without it, libFuzzer changes bytes.
`end` frees what `run` keeps open from one input to the next.
"""
