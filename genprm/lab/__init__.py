"""The laboratory: data whose truth is known, and the scripted teacher that writes rationales from it."""
