"""The demo world: a shop that the program makes itself, whose truth is known."""
