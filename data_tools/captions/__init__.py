"""Text from pictures: captions by an image-to-text or a chat model, as a further text column of the catalogue."""
