"""`python -m app`: the same as the console command `iisan`, wherever that may lie."""

from app.cli import main

main()
