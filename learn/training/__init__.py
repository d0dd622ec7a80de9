"""What all networks are trained with: the loop, crops of densities, stores to learn from, checkpoints."""
