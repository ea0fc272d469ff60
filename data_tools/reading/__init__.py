"""Reading of files as people have them: what they are packed in, how their text is encoded, separated and quoted."""
