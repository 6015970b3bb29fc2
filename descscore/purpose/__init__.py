"""The purpose subspace: where a text's being a description or a caption is held, and read."""
