"""Why a text got its score: what its words add, through the purpose subspace and around it."""
