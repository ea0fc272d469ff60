"""What an extraction and a training will cost, before anything is downloaded; and what this machine has."""
