"""What pages are made of, one file a page or a thing that pages share."""
