"""Networks: causal layers with explicit streaming state, and the encoders and decoders built of them."""
