"""Training with a look at every layer: its responses (Fig. 7) and gradients."""
