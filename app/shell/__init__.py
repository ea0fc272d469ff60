"""The verbs of the `iisan` command, one file each."""
