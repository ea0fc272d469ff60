"""What becomes of runs and datasets once they are there: labels, other names, copies, and a trash that gives back.

`labels` are notes about a folder in the folder; `dependents` says what else reads it; `naming` renames and copies, and
mends every record that names it; `trash` takes away so that it can be undone.
"""
