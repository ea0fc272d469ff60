"""The verbs of the `iisan` command: a module imports torch, polars or charts inside its verbs, for help needs none."""
