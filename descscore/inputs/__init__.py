"""Images and texts as users give them, and the pairs between them."""
